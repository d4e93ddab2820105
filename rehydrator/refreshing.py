"""Refresh: a copy that has lain too long makes way for a new one of the same task (rule 6).

An old copy pins the broker's log. It is journaled again, so the mirror stays the only publisher of
copies, and let go when the new copy's journal id was confirmed in the same generation: its
watermark has reached it, and the task's mark says so too, because a journal that was lost moves
the watermark past ids that nobody published (rule 3).
"""

import time
from collections.abc import Sequence
from typing import Final

from app.broker.recovery import Refresh
from app.settings import Settings
from rehydrator.holdings import Held, Holdings, by_queue, parts
from rehydrator.redis_queue import RedisQueue, Stores
from rehydrator.source import CopySource

PART: Final = 500
BURST_S: Final = 5.0
"""Refreshes saved up for so long at the most."""


class Refreshing:
    """The refreshes of one opening, at most ``window`` of them in ``refresh_after_ms``."""

    def __init__(self, stores: Stores, source: CopySource, holdings: Holdings) -> None:
        settings: Settings = stores.settings
        self._metrics = stores.metrics
        self._crashes = stores.crashes
        self._source = source
        self._holdings = holdings
        self._after_s = settings.refresh_after_ms / 1_000
        self._per_second = settings.rehydrator_window / self._after_s
        self._allowed = 0.0
        self._counted_s = time.monotonic()

    async def step(self) -> None:
        """Ask for what is due, and let go what was confirmed.

        Raises:
            StaleGeneration: the journal ids awaited mean nothing any more.
            Unavailable: a store is away.
        """
        held = self._holdings.held
        for queue, group in by_queue(copy for copy in held if copy.awaited).items():
            await self._let_go(queue, group)
        now_s = time.monotonic()
        for copy in held:
            # Whatever became of that journal entry: another one is asked for.
            if copy.awaited and now_s - copy.awaited_since_s > self._after_s:
                copy.awaited = None
        due = [
            copy
            for copy in held
            if not copy.awaited and now_s - max(copy.since_s, copy.awaited_since_s) > self._after_s
        ]
        for queue, group in by_queue(due[: self._allowance(now_s)]).items():
            for part in parts(group, PART):
                await self._ask(queue, part, now_s)

    def _allowance(self, now_s: float) -> int:
        self._allowed += (now_s - self._counted_s) * self._per_second
        self._allowed = min(self._allowed, max(1.0, BURST_S * self._per_second))
        self._counted_s = now_s
        return int(self._allowed)

    async def _ask(self, queue: RedisQueue, copies: Sequence[Held], now_s: float) -> None:
        token = await queue.session.token()
        self._crashes.reach("rehydrator.before_refresh")
        journal_ids = await queue.recovery.refresh(
            token,
            [Refresh(c.task_id, c.run, c.generation, c.journal_id) for c in copies],
        )
        self._crashes.reach("rehydrator.after_refresh")
        self._allowed -= len(copies)
        for copy, journal_id in zip(copies, journal_ids, strict=True):
            copy.awaited, copy.awaited_since_s = journal_id, now_s

    async def _let_go(self, queue: RedisQueue, copies: Sequence[Held]) -> None:
        token = await queue.session.token()
        reached = await queue.recovery.watermark()
        if reached is None or reached[0] != token:
            return
        passed = [c for c in copies if c.awaited and order(c.awaited) <= order(reached[1])]
        for part in parts(passed, PART):
            confirmed = await queue.recovery.refreshed(
                token, [(c.task_id, c.run, c.awaited or "") for c in part]
            )
            safe = [copy for copy, yes in zip(part, confirmed, strict=True) if yes]
            if safe:
                self._crashes.reach("rehydrator.before_let_go")
            await self._source.ack(safe)
            if safe:
                self._crashes.reach("rehydrator.after_let_go")
            self._holdings.drop(safe)
            self._metrics.copies_refreshed.labels(queue.name.tenant, queue.name.queue).inc(
                len(safe)
            )
            for copy in set(part) - set(safe):
                copy.awaited = None


def order(stream_id: str) -> tuple[int, int]:
    """What stream ids of one history are compared by."""
    milliseconds, sequence = stream_id.split("-")
    return int(milliseconds), int(sequence)
