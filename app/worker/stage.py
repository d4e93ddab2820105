"""A queue of things to be done in batches until they are done, however long a store is away."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from app.errors import Unavailable

log = logging.getLogger(__name__)

Item = TypeVar("Item")

PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 2.0
GROWTH: Final = 2


class Stage(Generic[Item]):
    """Works items off, ``lanes`` batches at a time.

    ``work(batch)`` returns the items that must be tried again; ``Unavailable`` means all of them.
    They go to the back of the queue, and batches shrink while calls fail, so that no item can hold
    up the others.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[Item]], Awaitable[list[Item]]],
        *,
        items_max: int,
        lanes: int,
    ) -> None:
        self._name = name
        self._work = work
        self._items_max = items_max
        self._items_now = items_max
        self._lanes = lanes
        self._waiting: deque[Item] = deque()
        self._busy = 0
        self._wake = asyncio.Event()
        self._pause_s = PAUSE_S_MIN

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being done."""
        return not self._waiting and not self._busy

    def put(self, item: Item) -> None:
        """Have ``item`` done; returns at once."""
        self._waiting.append(item)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lanes):
                group.create_task(self._lane())

    async def _lane(self) -> None:
        while True:
            await self._wake.wait()
            # One turn of the loop lets everything that is ready now join the batch.
            await asyncio.sleep(0)
            batch = self._take()
            if not batch:
                self._wake.clear()
                continue
            self._busy += 1
            try:
                again = await self._attempt(batch)
            finally:
                self._busy -= 1
            if again:
                self._waiting.extend(again)
                self._wake.set()
                await asyncio.sleep(self._pause_s)

    def _take(self) -> list[Item]:
        size = min(len(self._waiting), self._items_now)
        return [self._waiting.popleft() for _ in range(size)]

    async def _attempt(self, batch: list[Item]) -> list[Item]:
        try:
            again = await self._work(batch)
        except Unavailable as error:
            if self._pause_s == PAUSE_S_MIN:
                log.warning("%s waits: %s.", self._name, error)
            self._pause_s = min(self._pause_s * GROWTH, PAUSE_S_MAX)
            self._items_now = max(1, len(batch) // GROWTH)
            return batch
        self._pause_s = PAUSE_S_MIN
        self._items_now = min(self._items_max, self._items_now * GROWTH)
        return again
