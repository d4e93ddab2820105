"""A queue with a real Redis and a real ledger, workers on it, and what a test does to them."""

import asyncio

from pydantic import BaseModel, ConfigDict

from app.broker.connection import RedisConnection
from app.broker.delivery import Delivery, Settle
from app.broker.intake import Intake, Submission
from app.broker.keys import workers_key
from app.broker.presence import Presence
from app.broker.recovery import Recovery, Restore
from app.clock import now_ms
from app.errors import Unavailable
from app.ledger.records import About, Finish, FinishedPart
from app.ledger.sqlite import SqliteLedger
from app.lifecycle import cancel
from app.metrics import Metrics
from app.names import QueueName
from app.registry import TaskRegistry
from app.sessions import QueueSession
from app.settings import Settings
from app.state import TaskState
from app.worker.worker import Worker
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually

TYPE = "mail.send"
NAME = QueueName(TENANT, QUEUE)


class Payload(BaseModel):
    model_config = ConfigDict(extra="allow")

    to: str


class Mail:
    """The handler of the tests: notes each call, then does as it is told."""

    def __init__(self):
        self.calls = []
        self.cancelled = []
        self.do = lambda _payload, _context: None

    async def __call__(self, payload, context):
        self.calls.append((context.key.task_id, context.run, context.attempt))
        try:
            answer = self.do(payload, context)
            return await answer if asyncio.iscoroutine(answer) else answer
        except asyncio.CancelledError:
            self.cancelled.append(context.key.task_id)
            raise

    def registry(self, **options):
        registry = TaskRegistry()

        @registry.task(TYPE, payload=Payload, **options)
        async def send(payload: Payload, context):
            return await self(payload, context)

        return registry


class WatchedLedger:
    """A ledger that can be away, and tells what was asked of it."""

    def __init__(self, inner):
        self._inner = inner
        self.away = False
        self.calls = []
        self.before = {}

    @property
    def identity(self):
        return self._inner.identity

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        async def watched(*arguments):
            if self.away:
                raise Unavailable("ledger", "taken away by the test")
            self.calls.append((name, arguments))
            if name in self.before:
                await self.before[name](*arguments)
            return await method(*arguments)

        return watched

    def asked(self):
        """Ids the workers asked about, in order."""
        return [key.task_id for name, (keys, *_) in self._of("ask") for key in keys]

    def opened(self):
        """Open parts the workers wrote, in order."""
        return [each.part for name, (writes,) in self._of("record_open") for each in writes]

    def _of(self, wanted):
        return [call for call in self.calls if call[0] == wanted]


def connect(url):
    return RedisConnection(url, connect_timeout_ms=1_000, timeout_ms=5_000)


class House:
    def __init__(self, redis_url, env, sqlite_path):
        self.redis_url, self.env, self.sqlite_path = redis_url, env, sqlite_path
        self.workers_redis = connect(redis_url)
        self.ledger = WatchedLedger(
            SqliteLedger(sqlite_path, env=env, record_days=30, timeout_ms=5_000)
        )
        self.mail = Mail()
        self.metrics = Metrics()
        self._workers = []

    async def open(self):
        await self.ledger.open()
        await self.ledger.ensure_queue(TENANT, QUEUE, 10)
        self.connect()

    def connect(self):
        """Also anew, after Redis was away: the test then need not wait for it."""
        self.redis = connect(self.redis_url)
        self.raw = self.redis.redis
        self.session = QueueSession(self.redis, self.ledger, self.env, NAME, adopt=False)
        self.keys = self.session.keys
        self.intake = Intake(self.redis, self.keys, queue_max=10_000, unmirrored_max=10_000)
        self.delivery = Delivery(self.redis, self.keys, dedup_ms=3_600_000)
        self.recovery = Recovery(self.redis, self.keys)

    async def close(self):
        self.ledger.away = False
        await cancel(*(task for _, task in self._workers))
        async for name in self.raw.scan_iter(self.keys.prefix + "*"):
            await self.raw.delete(name)
        await self.redis.close()
        await self.workers_redis.close()
        await self.ledger.close()

    async def token(self):
        return await self.session.token()

    def settings(self, **changes):
        spool = self.sqlite_path.parent / "spool"
        chosen = {
            # No beat comes while a test waits: who learns from one says how long its lease is.
            "lease_ms": 600_000,
            "concurrency": 8,
            "grace_ms": 5_000,
            "spool_dir": spool,
            **changes,
        }
        return Settings(
            _env_file=None,
            env=self.env,
            redis_url=self.redis_url,
            sqlite_path=self.sqlite_path,
            **chosen,
        )

    def worker(self, *, registry=None, queue=None, states=None, **changes):
        """A worker at work; stopped with the house if not before."""
        worker = Worker(
            self.workers_redis,
            self.ledger,
            registry or self.mail.registry(),
            self.settings(**changes),
            self.metrics,
            states,
        )
        self._workers.append((worker, asyncio.create_task(worker.run(queue=queue))))
        return worker

    async def stop(self, worker):
        """A graceful stop."""
        (task,) = [task for each, task in self._workers if each is worker]
        await cancel(task)
        self._workers.remove((worker, task))

    async def kill(self, worker):
        """It vanishes without a word: nothing of it runs on, nothing is given back."""
        worker._executor.finish = _at_once
        worker._executor.end = _at_once
        worker._settler.drain = _at_once
        worker._announcer.leave = _at_once
        worker._claims_in = lambda _phase: []
        await self.stop(worker)

    async def workers(self):
        """Those who say that they live."""
        return await Presence(self.redis, self.env).workers()

    async def announce(self, worker):
        """A worker is listed as living, whether it is or not."""
        await Presence(self.redis, self.env).announce(worker._describe(), 60_000)

    async def submit(self, *envelopes, fresh=True):
        submissions = [Submission(each, fresh) for each in envelopes]
        return await self.intake.enqueue(await self.token(), submissions)

    async def submit_one(self, task_id="a", *, fresh=True, **options):
        await self.submit(envelope(task_id, **options), fresh=fresh)

    async def cancel(self, task_id="a", **options):
        """As the API does it: the mark, then the ledger, then Redis."""
        token = await self.token()
        await self.intake.mark_cancel(token, task_id)
        open_one = envelope(task_id, **options)
        part = FinishedPart(1, TaskState.CANCELLED, now_ms(), "the API", 1, None, None)
        write = Finish(
            NAME.task(task_id), open_one.request_digest, open_one.raw, part, About.of(open_one)
        )
        await self.ledger.finish([write])
        settle = Settle(task_id, 0, "", 1, TaskState.CANCELLED)
        await self.delivery.settle(token, [settle])

    async def restore(self, restored, *, attempts_ended=0, due_ms=0):
        wish = Restore(restored, attempts_ended, due_ms)
        (answer,) = await self.recovery.restore(await self.token(), [wish])
        return answer

    async def wipe(self):
        """Everything in Redis is lost."""
        # All at once, as a loss is: a worker must not attach in the middle of it.
        names = [name async for name in self.raw.scan_iter(self.keys.prefix + "*")]
        await self.raw.delete(workers_key(self.env), *names)
        self.session.forget()

    async def record(self, task_id="a"):
        return await self.ledger._inner.get(NAME.task(task_id))

    async def finished(self, task_id="a"):
        record = await self.record(task_id)
        return record.finished if record else None

    async def ends(self, task_id="a", state=None):
        """Wait until the run is recorded as over and Redis is told; its record."""

        async def over():
            record, fields = await self.record(task_id), await self.fields(task_id)
            gone = not fields or fields.get("place") == ""
            return record if record and record.finished and gone else None

        record = await eventually(over)
        if state is not None:
            assert record.finished.state == state
        return record

    async def fields(self, task_id="a"):
        found = await self.raw.hgetall(self.keys.task(task_id))
        return {name.decode(): value.decode() for name, value in found.items()}

    async def state(self, task_id="a"):
        return (await self.fields(task_id)).get("state")

    async def is_state(self, task_id, state):
        return await self.state(task_id) == state

    async def ready(self):
        return sum([await self.raw.xlen(lane) for lane in self.keys.lanes])

    async def is_idle(self):
        """Nothing is ready and nobody holds anything."""
        return not await self.ready() and all(not worker.slots.held for worker, _ in self._workers)

    async def counted(self, n, name, **labels):
        """Wait until a figure says so: a worker counts once Redis has answered it, too."""
        await eventually(lambda: self.metric(name, **labels) >= n)
        assert self.metric(name, **labels) == n

    def metric(self, name, **labels):
        labels = {"tenant": TENANT, "queue": QUEUE, **labels}
        return self.metrics.registry.get_sample_value(f"lifeboat_{name}", labels) or 0


async def _at_once(*_arguments):
    return True
