"""One worker: its loops, started and stopped in order, on one shared pool of slots."""

import asyncio
import logging
import os
import secrets
import socket
from typing import Final

from app.broker.connection import RedisConnection
from app.errors import StaleGeneration
from app.ledger.ledger import Ledger
from app.lifecycle import cancel
from app.metrics import Metrics
from app.names import QueueName
from app.registry import TaskRegistry
from app.sessions import watch_queues
from app.settings import Settings
from app.worker.admission import Admission
from app.worker.claim import Claim, Phase, QueueWork, Slots, StopReason
from app.worker.counting import Counting
from app.worker.executor import Executor
from app.worker.fetcher import Fetcher
from app.worker.giving_back import give_back
from app.worker.heartbeat import Heartbeat
from app.worker.outcome import Limits
from app.worker.promoter import Promoter
from app.worker.reclaimer import Reclaimer
from app.worker.settler import Settler

log = logging.getLogger(__name__)

CANCELLED_END_WITHIN_S: Final = 5.0
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
    ) -> None:
        self.consumer = consumer_name()
        self.slots = Slots(settings.concurrency)
        self.works: list[QueueWork] = []
        self._redis = redis
        self._ledger = ledger
        self._settings = settings
        counting = Counting(metrics)
        lease_ms = settings.lease_ms
        self._heartbeat = Heartbeat(self.works, counting, self.consumer, lease_ms=lease_ms)
        self._settler = Settler(ledger, self._heartbeat, counting, self.consumer)
        self._executor = Executor(
            self._settler,
            counting,
            Limits(settings.limit_result, settings.limit_error),
            concurrency=settings.concurrency,
        )
        self._admission = Admission(
            ledger, registry, self._executor, self._settler, counting, self.consumer
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

    @property
    def is_live(self) -> bool:
        """Whether it still looks for work."""
        return self._fetcher.is_live

    async def run(self, *, queue: str | None = None, tenant: str | None = None) -> None:
        """Work until cancelled, then stop in peace: let running tasks end, give the rest back.

        ``queue`` and ``tenant`` limit what is worked on.

        Raises:
            LedgerMismatch: Redis remembers another ledger.
        """
        bringing = [
            asyncio.create_task(each, name=name)
            for name, each in (
                ("watch", watch_queues(self._ledger, self.serve, queue=queue, tenant=tenant)),
                ("fetcher", self._fetcher.run()),
                ("reclaimer", self._reclaimer.run()),
                ("promoter", self._promoter.run()),
            )
        ]
        keeping = [
            asyncio.create_task(self._heartbeat.run(), name="heartbeat"),
            asyncio.create_task(self._settler.run(), name="settler"),
            asyncio.create_task(self._admission.run(), name="admission"),
        ]
        try:
            await asyncio.wait([*bringing, *keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [task for task in (*bringing, *keeping) if task.done()]
            await cancel(*bringing)
            await self._wind_down()
            await cancel(*keeping)
            self._executor.close()
        for task in ended:
            task.result()

    async def serve(self, name: QueueName) -> None:
        """Work on one more queue."""
        log.info("Working on queue %s of tenant %s.", name.queue, name.tenant)
        self.works.append(QueueWork(self._redis, self._ledger, self._settings, name, self.slots))

    async def _wind_down(self) -> None:
        if self.slots.held:
            log.info("Stopping: %d tasks are still held.", self.slots.held)
        await self._executor.finish(self._settings.grace_ms / 1000)
        await self._admission.stop()
        for claim in self._unfinished():
            claim.stop(StopReason.GIVE_BACK)
        await self._executor.finish(CANCELLED_END_WITHIN_S)
        window_s = STOPPING_CALLS * self._settings.store_timeout_ms / 1000
        try:
            async with asyncio.timeout(window_s):
                await give_back(self.consumer, self._unfinished())
        except (StaleGeneration, TimeoutError):
            log.warning("Some tasks could not be given back; they run again when reclaimed.")
        if not await self._settler.drain(window_s):
            log.warning(
                "%d tasks could not be settled; another worker looks at them when their leases"
                " end.",
                self.slots.held,
            )

    def _unfinished(self) -> list[Claim]:
        return [
            claim
            for work in self.works
            for claim in work.claims.values()
            if claim.phase in (Phase.ADMITTING, Phase.RUNNING)
        ]
