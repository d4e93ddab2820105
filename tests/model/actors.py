"""The processes of a world, each with the code it has in production and the fakes beneath it.

Real: the whole worker (fetcher, reclaimer, promoter, heartbeat, admission, executor, settler,
spooling), the rehydrator's turn with all it calls (looking, deciding, acting, refreshing, fences,
the watch over losses), the mirror's window and term, what a copy says, and of the API submitting, confirming,
cancelling, redriving. Modelled: when each loop comes round (a step of the history says so), the
mirror's loops, leases among mirrors and rehydrators (two at once are always allowed), the
connections.
"""

import asyncio
from types import SimpleNamespace

from pydantic import BaseModel

from app.amqp.message import Origin, copy_publication
from app.amqp.publishing import PublishOutcome
from app.broker.journal import Journal
from app.envelope import decode
from app.errors import LifeboatError, StaleGeneration, Unavailable
from app.metrics import Metrics
from app.registry import Discard, Retry, Suspend, TaskContext, TaskRegistry
from app.retry import RetryPolicy
from app.sessions import QueueSession
from app.settings import Settings
from app.state import OPEN
from app.task_queue.cancelling import Canceller
from app.task_queue.finding import Located
from app.task_queue.open_queue import OpenQueue
from app.task_queue.redriving import Redriver
from app.task_queue.request import Prepared
from app.task_queue.submitting import Submitter
from app.worker.claim import Phase, QueueWork, StopReason
from app.worker.worker import Worker
from mirror.term import JournalLost, Term
from mirror.window import Held
from rehydrator.acting import BodiesNeeded
from rehydrator.opening import Opening
from rehydrator.redis_queue import Stores
from rehydrator.service import Counted, LossFound, Pace, QueueService
from rehydrator.source import CopiesLost
from tests.model.fakes_ledger import IDENTITY, FakeLedgerLink, FakeSpool
from tests.model.fakes_rabbitmq import FakePublisher, FakeSource
from tests.model.fakes_redis import FakeConnection
from tests.model.faults import PROCESS, Faults
from tests.support.envelopes import QUEUE

ENV = "model"
ATTEMPTS_MAX = 3
RETRY_AFTER_MS = 2_000
WINDOW = 100
SETTINGS = Settings(
    _env_file=None, env=ENV, tenant="acme", rabbitmq_url="amqp://nowhere/model", concurrency=4
)
METRICS = Metrics()
REGISTRY = TaskRegistry()


class Payload(BaseModel, extra="allow"):
    pass


@REGISTRY.task(
    "mail.send",
    payload=Payload,
    retry=RetryPolicy(ATTEMPTS_MAX, base_delay_ms=RETRY_AFTER_MS, factor=1, jitter=0),
    timeout=86_000,
)
async def handler(payload, context: TaskContext):
    """Runs until the history says how it ends."""
    match await PROCESS.get().handler_ends(context):
        case "fail":
            raise Retry("not now")
        case "discard":
            raise Discard("never")
        case "suspend":
            raise Suspend("look at it")
        case "raise":
            raise RuntimeError("a bug")


class Process:
    """One process; ``busy`` while a step of its loop has not come to its end."""

    def __init__(self, world, who):
        self.world = world
        self.who = who
        self.faults = Faults(world.fates, who)
        self.redis = FakeConnection(world.redis, self.faults, world.promises)
        self.ledger = FakeLedgerLink(world.ledger, self.faults, who)
        self.publisher = FakePublisher(world.broker, self.faults)
        self.doing = None
        self.loops = []

    @property
    def ended(self):
        """What has ended by itself: a step of a loop, or, by surprise, a loop."""
        steps = [self.doing] if self.doing is not None else []
        return [each for each in (*self.loops, *steps) if each.done()]

    @property
    def busy(self):
        return self.faults.is_paused or (self.doing is not None and not self.doing.done())

    def spawn(self, coroutine):
        token = PROCESS.set(self)
        try:
            return self.world.loop.create_task(coroutine)
        finally:
            PROCESS.reset(token)

    def do(self, coroutine):
        self.doing = self.spawn(coroutine)

    def die(self):
        self.faults.die(self.world.loop)


class WorkerProcess(Process):
    def __init__(self, world, who, disk):
        super().__init__(world, who)
        self.running = []
        self.worker = world.loop.call(self._made, disk)
        self.work = QueueWork(self.redis, self.ledger, SETTINGS, world.name, self.worker.slots)
        self.worker.works.append(self.work)
        self.loops = [
            self.spawn(self.worker._settler.run()),
            self.spawn(self.worker._spooling.run()),
            self.spawn(self.worker._admission.run()),
        ]

    def _made(self, disk):
        worker = Worker(self.redis, self.ledger, REGISTRY, SETTINGS, METRICS)
        worker._spooling._spool = FakeSpool(disk)
        admission, executor = worker._admission, worker._executor
        claim, launch = admission._claim, executor.launch
        promises = self.world.promises

        def claimed(*arguments):
            made = claim(*arguments)
            promises.claimed(self.who, made)
            return made

        def launched(made, of):
            if not made.lost and not self.faults.is_dead:
                promises.launched(made)
            launch(made, of)

        admission._claim, executor.launch = claimed, launched
        return worker

    async def handler_ends(self, context):
        ending = asyncio.get_running_loop().create_future()
        self.running.append(ending)
        try:
            return await ending
        finally:
            self.running.remove(ending)

    def end_handler(self, index, how):
        ending = self.running[index % len(self.running)]
        if not ending.done():
            ending.set_result(how)

    async def fetch(self):
        await self.worker._fetcher._fetch(self.work, self.worker.slots.room, "123")

    async def reclaim(self):
        await self.worker._reclaimer._reclaim(self.work)

    async def promote(self):
        await self.worker._promoter._promote(self.work)

    async def renew(self):
        await self.worker._heartbeat.renew(list(self.work.claims.values()))

    async def stop(self):
        """A stopping worker hands back what has not ended; this one then goes on."""
        worker = self.worker
        await worker._give_back(worker._claims_in(Phase.ADMITTING))
        for claim in worker._claims_in(Phase.RUNNING):
            claim.stop(StopReason.GIVE_BACK)
        await worker._executor.end(1)
        await worker._give_back(worker._claims_in(Phase.RUNNING))


class MirrorProcess(Process):
    def __init__(self, world, who):
        super().__init__(world, who)
        self.session = QueueSession(self.redis, self.ledger, ENV, world.name, adopt=False)
        self.journal = Journal(self.redis, self.session.keys)
        self.term = None

    async def turn(self, most=2):
        """Read, publish, trim: once round."""
        try:
            term = await self._current_term()
            await self._read(term)
            await self._publish(term, most)
            await self._trim(term)
        except StaleGeneration:
            self.session.forget()
            self.term = None
        except JournalLost:
            self.term = None
        except Unavailable:
            return

    async def _current_term(self):
        token = await self.session.token()
        if self.term is None or self.term.token != token:
            self.term = Term(token, WINDOW)
        return self.term

    async def _read(self, term):
        entries, last = await self.journal.read(term.token, term.cursor, term.window.room)
        term.advance(entries, last)
        term.window.add([Held(entry, None) for entry in entries])

    async def _publish(self, term, most):
        batch = term.window.take(most)
        if not batch:
            return
        copies = [self.copy_of(held, term) for held in batch]
        outcomes = await self.publisher.publish(copies, 1_000)
        term.window.settle(batch, [each is PublishOutcome.CONFIRMED for each in outcomes])

    def copy_of(self, held, term):
        origin = Origin(ENV, IDENTITY, term.token, held.entry.journal_id)
        return copy_publication(decode(held.entry.envelope), origin, 1)

    async def _trim(self, term):
        while prefix := term.window.prefix(WINDOW):
            await self.journal.trim(term.token, prefix)
            term.window.drop(len(prefix))


class RehydratorProcess(Process):
    def __init__(self, world, who):
        super().__init__(world, who)
        self.stores = Stores(
            SETTINGS, self.redis, self.ledger, self.publisher, METRICS, "amqp://nowhere/model"
        )
        pace = Pace(sweep_s=0, share=0, check_s=0, ask_all_s=0)
        self.service = QueueService(self.stores, None, QUEUE, pace)
        self.service.meet(world.name)
        self.opening = None
        self.source = None

    async def turn(self, *, ask_all=False):
        """Once round, as ``QueueService._serve`` has it."""
        if self.opening is None:
            self._open()
        self.service._ask_at_s = 0 if ask_all else float("inf")
        try:
            await self.service._turn(self.opening)
        except BodiesNeeded as needed:
            await self.service._missed(needed.lost)
            await self._close()
        except StaleGeneration:
            self.service._queues.forget()
            await self._close()
        except (CopiesLost, LossFound):
            await self._close()
        except Unavailable:
            return

    def _open(self):
        self.source = FakeSource(self.world.broker, self.faults)
        self.service._sweep_at_s = self.service._check_at_s = 0
        self.opening = Opening(
            self.stores,
            QUEUE,
            self.service._queues,
            self.source,
            Counted(METRICS),
            holds_back=self.service._watch.holds_back,
        )

    async def _close(self):
        opening, self.opening = self.opening, None
        await opening.close()

    def lose_connection(self, *, turned, behind):
        if self.source is not None:
            self.source.end(turned=turned, behind=behind)

    def die(self):
        super().die()
        self.lose_connection(turned=False, behind=True)


class ApiProcess(Process):
    def __init__(self, world, who):
        super().__init__(world, who)
        self.queue = OpenQueue(self.redis, self.ledger, SETTINGS, world.name)
        queues = SimpleNamespace(made_for=self._made_for)
        fallback = SimpleNamespace(accept=self._accept_in_rabbitmq)
        self.submitter = Submitter(queues, self.ledger, SETTINGS, fallback)
        self.canceller = Canceller(self.ledger, self._queue_of, mirrored=True)
        self.redriver = Redriver(self.ledger, self._queue_of, SETTINGS, {})
        self.answers = []

    async def _made_for(self, name, *, fsync):
        return self.queue

    def _queue_of(self, name):
        return self.queue

    async def _accept_in_rabbitmq(self, envelope, ledger_seen, *, is_known):
        copied = copy_publication(envelope, Origin(ENV, IDENTITY), 1)
        (outcome,) = await self.publisher.publish([copied], 1_000)
        if outcome is not PublishOutcome.CONFIRMED:
            raise Unavailable("rabbitmq", f"the copy is {outcome}")

    async def submit(self, envelope, *, fresh):
        try:
            receipt = await self.submitter.submit(Prepared(envelope, fresh, "mirrored", "accept"))
        except LifeboatError:
            return
        finally:
            if not self.faults.is_dead:
                self.world.secret_ids.discard(envelope.task_id)
        if receipt.reached == "mirrored":
            self.world.promises.accepted(envelope.key, envelope.request_digest)

    async def cancel(self, task_id):
        found = await self._located(task_id)
        if found is None:
            return
        try:
            done = await self.canceller.cancel(found)
        except LifeboatError:
            return
        if done:
            run = found.run + (found.state == "suspended")
            self.world.promises.cancelled.add((found.key, run))

    async def redrive(self, task_id):
        found = await self._located(task_id)
        if found is None or found.state not in ("dead", "suspended"):
            return
        try:
            await self.redriver.redrive(found, str(found.state), None)
        except LifeboatError:
            return

    async def discard(self, task_id):
        found = await self._located(task_id)
        if found is None or found.state not in ("dead", "suspended"):
            return
        try:
            await self.redriver.discard_many(self.queue, [found.record])
        except LifeboatError:
            return

    async def _located(self, task_id):
        key = self.world.name.task(task_id)
        try:
            sighting, _ = await self.queue.look(task_id)
            record = await self.ledger.get(key)
        except LifeboatError:
            return None
        if sighting is not None and sighting.fields.get("state") in OPEN:
            shown = {"state": sighting.fields["state"], "run": int(sighting.fields["run"])}
        elif record is not None and record.finished is not None:
            shown = {"state": record.finished.state, "run": record.finished.run}
        else:
            return None
        return Located(key, sighting, record, shown)

    def hear(self, watermark):
        self.queue.confirmations.tell(watermark)
