"""Fetches entries: no more than there is room for, high priority first, all queues in turn."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from app.broker.connection import RedisConnection
from app.clock import monotonic_ms, now_ms
from app.errors import StaleGeneration, Unavailable
from app.worker.admission import Admission
from app.worker.claim import QueueWork, lease_deadline_ms
from app.worker.slots import Slots

log = logging.getLogger(__name__)

WAIT_MS_MAX: Final = 1_000
PAUSE_S: Final = 0.25
LIVE_WITHIN_MS: Final = 30_000
USUAL_ORDER: Final = "123"
OTHER_ORDERS: Final = {5: "213", 9: "321"}
ORDERS_REPEAT_AFTER: Final = 10


def lane_order(turn: int) -> str:
    """In which order the lanes are read: high first, but now and then another leads.

    Else a steady stream of urgent tasks would starve the rest. Pure.
    """
    return OTHER_ORDERS.get(turn % ORDERS_REPEAT_AFTER, USUAL_ORDER)


class Fetcher:
    """The loop that brings work in."""

    def __init__(
        self,
        redis: RedisConnection,
        works: Sequence[QueueWork],
        slots: Slots,
        admission: Admission,
        consumer: str,
        *,
        lease_ms: int,
        timeout_ms: int,
    ) -> None:
        """``works`` grows as queues are found; ``timeout_ms`` is the deadline of a call."""
        self._redis = redis
        self._works = works
        self._slots = slots
        self._admission = admission
        self._consumer = consumer
        self._lease_ms = lease_ms
        # A read that blocks as long as the socket's deadline never ends in peace.
        self._wait_ms = min(WAIT_MS_MAX, timeout_ms // 2)
        self._polled_ms = monotonic_ms()
        self._begun = False
        self._away = False

    @property
    def is_live(self) -> bool:
        """Whether the loop has come round lately, or waits for its stores to begin."""
        return not self._begun or monotonic_ms() - self._polled_ms < LIVE_WITHIN_MS

    @property
    def last_poll_at_ms(self) -> int:
        """When the loop last came round, by the wall clock."""
        return now_ms() - (monotonic_ms() - self._polled_ms)

    async def run(self) -> None:
        """Fetch until cancelled.

        Raises:
            LedgerMismatch: Redis remembers another ledger.
        """
        turn = 0
        self._begun = True
        while True:
            self._polled_ms = monotonic_ms()
            if not await self._slots.wait_for_room(within_s=1):
                continue
            turn += 1
            if not await self._fetch_all(turn):
                await self._wait()

    async def _fetch_all(self, turn: int) -> int:
        found = 0
        first = turn % len(self._works) if self._works else 0
        for work in (*self._works[first:], *self._works[:first]):
            room = self._slots.room
            if room <= 0:
                break
            found += await self._fetch(work, room, lane_order(turn))
        return found

    async def _fetch(self, work: QueueWork, room: int, order: str) -> int:
        token = ""
        try:
            token = await work.learn()
            return await self._fetch_with(token, work, room, order)
        except StaleGeneration:
            work.forget(token)
        except Unavailable as error:
            # The reply may be lost while the entries are ours: only a re-read finds them.
            work.reread = True
            self._say_away(error)
        return 0

    async def _fetch_with(self, token: str, work: QueueWork, room: int, order: str) -> int:
        if work.reread:
            found, flag = await self._read(token, work, room, order, own=True)
            work.reread = found > 0 or flag != "open"
            if work.reread:
                return found
        found, flag = await self._read(token, work, room, order, own=False)
        if flag == "unloaded":
            # The ledger could not say whether the queue is paused: ask again.
            work.session.forget()
        return found

    async def _read(
        self, token: str, work: QueueWork, room: int, order: str, *, own: bool
    ) -> tuple[int, str]:
        # What this worker knows already is among its own, in front of what it does not.
        count = room + len(work.claims) if own else room
        deadline_ms = lease_deadline_ms(self._lease_ms)
        fetched = await work.delivery.fetch(token, self._consumer, count, own=own, order=order)
        self._away = False
        work.cursors = fetched.cursors
        unknown = [each for each in fetched.entries if not work.knows(token, each)][:room]
        if unknown:
            self._admission.take_in(work, token, unknown, deadline_ms)
        return len(unknown), fetched.flag

    async def _wait(self) -> None:
        """Until something new may be there."""
        cursors: dict[str, bytes | str] = {}
        for work in self._works:
            cursors |= work.cursors
        if not all(work.cursors for work in self._works) or not cursors:
            await asyncio.sleep(PAUSE_S)
            return
        try:
            await self._redis.wait_for_entries(cursors, self._wait_ms)
        except Unavailable as error:
            self._say_away(error)
            await asyncio.sleep(PAUSE_S)

    def _say_away(self, error: Unavailable) -> None:
        if not self._away:
            log.warning("No tasks can be fetched: %s.", error)
        self._away = True
