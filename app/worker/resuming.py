"""Resumes what was suspended because nobody knew its type, now that this worker does."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from app.broker.connection import RedisConnection
from app.clock import monotonic_ms
from app.errors import LifeboatError, Unavailable
from app.ledger.ledger import Ledger
from app.ledger.records import LedgerRecord, RecordQuery
from app.names import QueueName
from app.registry import TaskRegistry
from app.settings import Settings
from app.state import TaskState
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue
from app.task_queue.redriving import Redriver
from app.worker.claim import QueueWork
from app.worker.unknown import UNKNOWN_TYPE

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
AGAIN_AFTER_MS: Final = 60_000
"""For what another worker suspends just when this one starts, and what found a queue full."""
TASKS_A_PAGE: Final = 200


class Resumer:
    """Looks through each queue when it is found, and now and then after that."""

    def __init__(
        self,
        redis: RedisConnection,
        ledger: Ledger,
        registry: TaskRegistry,
        settings: Settings,
        works: Sequence[QueueWork],
    ) -> None:
        """``works`` grows as queues are found."""
        self._redis = redis
        self._settings = settings
        self._ledger = ledger
        self._types = frozenset(registry.types)
        self._works = works
        self._gate = LedgerGate(ledger, "the ledger")
        self._redriver = Redriver(self._gate, self._queue_of, settings, {})
        self._queues: dict[QueueName, OpenQueue] = {}
        self._look_at_ms: dict[QueueName, int] = {}

    async def run(self) -> None:
        """Look and resume until cancelled."""
        gate = asyncio.create_task(self._gate.run(), name="resumer's ledger")
        try:
            while not gate.done():
                for work in tuple(self._works):
                    if self._look_at_ms.get(work.name, 0) <= monotonic_ms():
                        await self._look_through(work.name)
                await asyncio.sleep(LOOK_EVERY_S)
            gate.result()
        finally:
            gate.cancel()
            for queue in self._queues.values():
                await queue.close()

    async def _look_through(self, name: QueueName) -> None:
        said = f"{name.tenant}/{name.queue}"
        try:
            resumed = await self._resume_all(name)
        except Unavailable as error:
            log.debug("Nothing of %s can be resumed now: %s", said, error)
            return
        except LifeboatError as error:
            log.warning("Some tasks of %s were not resumed: %s", said, error)
            resumed = 0
        self._look_at_ms[name] = monotonic_ms() + AGAIN_AFTER_MS
        if resumed:
            log.info("Resumed %d tasks of %s whose type is known now.", resumed, said)

    async def _resume_all(self, name: QueueName) -> int:
        resumed, cursor = 0, None
        while True:
            page = await self._ledger.search(
                RecordQuery(
                    tenant=name.tenant,
                    queue=name.queue,
                    states=frozenset({TaskState.SUSPENDED}),
                    error=UNKNOWN_TYPE,
                    cursor=cursor,
                    limit=TASKS_A_PAGE,
                )
            )
            known = [each for each in page.items if self._knows(each)]
            if known:
                resumed += await self._redriver.redrive_many(self._queue_of(name), known)
            cursor = page.cursor
            if cursor is None:
                return resumed

    def _knows(self, record: LedgerRecord) -> bool:
        return record.about is not None and record.about.type in self._types

    def _queue_of(self, name: QueueName) -> OpenQueue:
        if name not in self._queues:
            self._queues[name] = OpenQueue(self._redis, self._gate, self._settings, name)
        return self._queues[name]
