"""One worker: its loops, started and stopped in order, on one shared pool of slots."""

import asyncio
import logging
import os
import secrets
import socket
from typing import Final

from app.broker.cancelled import CancelledTasks
from app.broker.connection import RedisConnection
from app.broker.presence import Presence, WorkerItem
from app.clock import now_ms
from app.crashing import CrashPoints
from app.errors import StaleGeneration
from app.ledger.ledger import Ledger
from app.lifecycle import cancel
from app.metrics import Metrics
from app.names import QueueName
from app.registry import TaskRegistry
from app.sessions import watch_queues
from app.settings import Settings
from app.worker.admission import Admission
from app.worker.claim import Claim, Phase, QueueWork, StopReason
from app.worker.counting import Counting
from app.worker.executor import Executor
from app.worker.fetcher import Fetcher
from app.worker.giving_back import give_back, note_given_back
from app.worker.heartbeat import Heartbeat
from app.worker.insist import Unwanted
from app.worker.lifespans import States
from app.worker.outcome import Limits
from app.worker.presence import Announcer, Neighbours
from app.worker.progress import Progress
from app.worker.promoter import Promoter
from app.worker.reclaimer import Reclaimer
from app.worker.resuming import Resumer
from app.worker.settler import Settler
from app.worker.slots import Slots
from app.worker.spool import Spool
from app.worker.spooling import Spooling
from app.worker.unknown import UnknownTypes

log = logging.getLogger(__name__)

DECIDED_WITHIN_S: Final = 1.0
CANCELLED_END_WITHIN_S: Final = 5.0
HURRIED_END_WITHIN_S: Final = 0.5
NOTED_WITHIN_S: Final = 2.0
STOPPING_CALLS: Final = 2
"""How many deadlines of a store a stopping worker spends on writing what is left."""


def consumer_name() -> str:
    """A name no other worker has, not even this process's predecessor of the same pid."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Worker:
    """Runs the tasks of many queues. Made inside a running loop; ``run`` needs open stores."""

    def __init__(
        self,
        redis: RedisConnection,
        ledger: Ledger,
        registry: TaskRegistry,
        settings: Settings,
        metrics: Metrics,
        states: States | None = None,
    ) -> None:
        """``states``: what each lifespan of the registry yielded."""
        self.consumer = consumer_name()
        self.slots = Slots(settings.concurrency)
        self.works: list[QueueWork] = []
        self._redis = redis
        self._ledger = ledger
        self._registry = registry
        self._settings = settings
        self._started_at_ms = now_ms()
        self._is_stopping = False
        self._is_hurried = False
        self._crashes = CrashPoints(settings.crash_at)
        counting = Counting(metrics)
        lease_ms = settings.lease_ms
        presence = Presence(redis, settings.env)
        self._announcer = Announcer(presence, self._describe)
        self._heartbeat = Heartbeat(self.works, counting, self.consumer, lease_ms=lease_ms)
        self._spooling = Spooling(
            ledger,
            Spool.of(settings, ledger, self.consumer, metrics),
            self.slots,
            counting,
            lease_ms=lease_ms,
        )
        self._settler = Settler(
            ledger, self._heartbeat, counting, self._spooling, self._crashes, self.consumer
        )
        self._progress = Progress(self.consumer, text_bytes_max=settings.limit_progress)
        self._executor = Executor(
            self._settler,
            counting,
            self._progress,
            Limits(settings.limit_result, settings.limit_error),
            states or {},
            self._crashes,
            concurrency=settings.concurrency,
        )
        neighbours = Neighbours(presence, self.consumer)
        self._admission = Admission(
            ledger,
            registry,
            self._executor,
            self._settler,
            self._heartbeat,
            counting,
            UnknownTypes(neighbours, self._settler, self.consumer),
            neighbours,
            self._spooling,
            self._crashes,
            self.consumer,
            poison_max=settings.poison_max,
        )
        self._fetcher = Fetcher(
            redis,
            self.works,
            self.slots,
            self._admission,
            self.consumer,
            lease_ms=lease_ms,
            timeout_ms=settings.store_timeout_ms,
        )
        self._reclaimer = Reclaimer(
            self.works, self.slots, self._admission, self.consumer, lease_ms=lease_ms
        )
        self._promoter = Promoter(self.works)
        self._resumer = Resumer(redis, ledger, registry, settings, self.works)

    @property
    def is_live(self) -> bool:
        """Whether it still looks for work."""
        return self._fetcher.is_live

    @property
    def spooling(self) -> Spooling:
        """The outcomes that wait on this machine's disk."""
        return self._spooling

    def hurry(self) -> None:
        """Wait no more for running tasks: give them back. For a worker that is stopping."""
        self._is_hurried = True
        self._executor.hurry()

    async def run(self, *, queue: str | None = None, tenant: str | None = None) -> None:
        """Work until cancelled, then stop in peace: let running tasks end, give the rest back.

        ``queue`` and ``tenant`` limit what is worked on.

        Raises:
            LedgerMismatch: Redis remembers another ledger.
        """
        await self._spooling.open()
        bringing = [
            asyncio.create_task(each, name=name)
            for name, each in (
                ("watch", watch_queues(self._ledger, self.serve, queue=queue, tenant=tenant)),
                ("fetcher", self._fetcher.run()),
                ("reclaimer", self._reclaimer.run()),
                ("promoter", self._promoter.run()),
                ("resumer", self._resumer.run()),
            )
        ]
        keeping = [
            asyncio.create_task(self._heartbeat.run(), name="heartbeat"),
            asyncio.create_task(
                self._heartbeat.heed(CancelledTasks(self._redis, self._settings.env)),
                name="cancels",
            ),
            asyncio.create_task(self._settler.run(), name="settler"),
            asyncio.create_task(self._spooling.run(), name="spool"),
            asyncio.create_task(self._admission.run(), name="admission"),
            asyncio.create_task(self._progress.run(), name="progress"),
            asyncio.create_task(self._announcer.run(), name="announcer"),
        ]
        try:
            await asyncio.wait([*bringing, *keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [task for task in (*bringing, *keeping) if task.done()]
            await cancel(*bringing)
            await self._wind_down()
            await cancel(*keeping)
            self._executor.close()
            self._spooling.close()
            await self._announcer.leave()
        for task in ended:
            task.result()

    async def serve(self, name: QueueName) -> None:
        """Work on one more queue; asked again nothing changes."""
        if any(work.name == name for work in self.works):
            return
        log.info("Working on queue %s of tenant %s.", name.queue, name.tenant)
        self.works.append(QueueWork(self._redis, self._ledger, self._settings, name, self.slots))
        self._announcer.changed()

    async def _wind_down(self) -> None:
        if self.slots.held:
            log.info("Stopping: %d tasks are still held.", self.slots.held)
        self._is_stopping = True
        self._announcer.changed()
        await self._admission.stop(DECIDED_WITHIN_S)
        # Others may take them while what runs here gets its time.
        await self._give_back(self._claims_in(Phase.ADMITTING))
        await self._executor.finish(self._settings.grace_ms / 1000)
        running = self._claims_in(Phase.RUNNING)
        for claim in running:
            claim.stop(StopReason.GIVE_BACK)
        await self._executor.end(
            HURRIED_END_WITHIN_S if self._is_hurried else CANCELLED_END_WITHIN_S
        )
        for claim in running:
            claim.abandon()
        await self._give_back(self._claims_in(Phase.RUNNING))
        window_s = STOPPING_CALLS * self._settings.store_timeout_ms / 1000
        if not await self._settler.drain(window_s):
            log.warning(
                "%d tasks could not be settled; another worker looks at them when their leases"
                " end.",
                self.slots.held,
            )

    async def _give_back(self, claims: list[Claim]) -> None:
        if not claims:
            return
        self._crashes.reach("worker.before_give_back")
        await note_given_back(self._ledger, self.consumer, claims, NOTED_WITHIN_S)
        try:
            async with asyncio.timeout(STOPPING_CALLS * self._settings.store_timeout_ms / 1000):
                await give_back(self.consumer, claims)
        except (StaleGeneration, TimeoutError):
            log.warning("Some tasks could not be given back; they run again when reclaimed.")
        except Unwanted:
            return
        self._crashes.reach("worker.after_give_back")

    def _claims_in(self, phase: Phase) -> list[Claim]:
        return [
            claim for work in self.works for claim in work.claims.values() if claim.phase is phase
        ]

    def _describe(self) -> WorkerItem:
        claims = [claim for work in self.works for claim in work.claims.values()]
        return WorkerItem(
            worker=self.consumer,
            queues=tuple(work.name for work in self.works),
            # One that stops runs none of them any more.
            types=() if self._is_stopping else self._registry.types,
            concurrency=self._settings.concurrency,
            running=sum(1 for claim in claims if claim.phase is Phase.RUNNING),
            started_at_ms=self._started_at_ms,
            last_poll_at_ms=self._fetcher.last_poll_at_ms,
        )
