"""The figures of one queue, exported only by the mirror that holds its lease."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from app.broker.connection import RedisConnection
from app.broker.coverage import read_coverage
from app.broker.gauges import Gauges, read_gauges
from app.broker.keys import QueueKeys
from app.broker.presence import Presence
from app.clock import monotonic_ms
from app.errors import StaleGeneration, Unavailable
from app.ledger.ledger import Ledger
from app.metrics import Metrics
from app.state import PARKED, TaskState

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
COVERAGE_MINUTES: Final = 60
SLOW_EVERY: Final = 5
"""The ledger counts parked tasks each time, and Redis adds an hour up: asked less often."""


class QueueGauges:
    """Shows one queue while this process leads it."""

    def __init__(
        self,
        redis: RedisConnection,
        ledger: Ledger,
        metrics: Metrics,
        keys: QueueKeys,
        *,
        stale_after_ms: int,
    ) -> None:
        """Figures older than ``stale_after_ms`` are shown no more."""
        self._redis = redis
        self._ledger = ledger
        self._metrics = metrics
        self._keys = keys
        self._presence = Presence(redis, keys.env)
        self._stale_after_ms = stale_after_ms
        self._labels = (keys.name.tenant, keys.name.queue)

    async def export(self, token: str, blocked: Callable[[], bool]) -> None:
        """Read and show until cancelled; shows nothing any more afterwards.

        Raises:
            StaleGeneration: Redis has another history.
        """
        rounds, read_at = 0, monotonic_ms()
        try:
            while True:
                try:
                    self._show(await read_gauges(self._redis, self._keys, token), blocked())
                    read_at = monotonic_ms()
                    await self._show_workers()
                    if rounds % SLOW_EVERY == 0:
                        await self._show_coverage(token)
                        await self._show_parked()
                    rounds += 1
                except StaleGeneration:
                    raise
                except Unavailable as error:
                    log.debug("No figures of %s now: %s", self._keys.name.queue, error)
                if monotonic_ms() - read_at > self._stale_after_ms:
                    # Not renewed for so long: another mirror may hold the lease and show them.
                    self._remove()
                await asyncio.sleep(EVERY_S)
        finally:
            self._remove()

    def _show(self, seen: Gauges, blocked: bool) -> None:
        metrics, labels = self._metrics, self._labels
        depth = {
            TaskState.SCHEDULED: seen.scheduled,
            TaskState.QUEUED: seen.queued,
            TaskState.RUNNING: seen.running,
            TaskState.RETRYING: seen.retrying,
        }
        for state, count in depth.items():
            metrics.queue_depth.labels(*labels, state).set(count)
        metrics.queue_oldest_age.labels(*labels).set((seen.oldest_queued_ms or 0) / 1000)
        metrics.unmirrored_tasks.labels(*labels).set(seen.unmirrored)
        metrics.unmirrored_oldest_age.labels(*labels).set((seen.oldest_unmirrored_ms or 0) / 1000)
        metrics.mirror_blocked.labels(*labels).set(int(blocked))

    async def _show_coverage(self, token: str) -> None:
        found = await read_coverage(self._redis, self._keys, token, COVERAGE_MINUTES)
        self._metrics.missing_copies.labels(*self._labels).set(found.missing)

    async def _show_workers(self) -> None:
        name = self._keys.name
        living = sum(name in each.queues for each in await self._presence.workers())
        self._metrics.workers.labels(*self._labels).set(living)

    async def _show_parked(self) -> None:
        counts = await self._ledger.parked_counts(*self._labels)
        for state in PARKED:
            self._metrics.queue_depth.labels(*self._labels, state).set(counts.get(state, 0))

    def _remove(self) -> None:
        metrics, labels = self._metrics, self._labels
        for state in TaskState:
            metrics.queue_depth.remove(*labels, state)
        for gauge in (
            metrics.queue_oldest_age,
            metrics.unmirrored_tasks,
            metrics.unmirrored_oldest_age,
            metrics.missing_copies,
            metrics.mirror_blocked,
            metrics.workers,
        ):
            gauge.remove(*labels)
