"""What this worker says of itself to the others, and what it knows of them."""

import asyncio
import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final

from app.broker.presence import Presence, WorkerItem
from app.clock import monotonic_ms
from app.errors import Unavailable
from app.names import QueueName

log = logging.getLogger(__name__)

ANNOUNCE_EVERY_S: Final = 2.0
LISTED_FOR_MS: Final = 7_000
KNOWN_FOR_MS: Final = 1_000


class Announcer:
    """Says again and again that this worker lives."""

    def __init__(self, presence: Presence, describe: Callable[[], WorkerItem]) -> None:
        self._presence = presence
        self._describe = describe
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Say it now: something in it is new."""
        self._changed.set()

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._presence.announce(self._describe(), LISTED_FOR_MS)
            except Unavailable as error:
                log.debug("This worker is not announced: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_EVERY_S):
                    await self._changed.wait()

    async def leave(self) -> None:
        """Be listed no more; where that fails, it is forgotten soon."""
        with suppress(Unavailable):
            await self._presence.leave(self._describe().worker)


class Neighbours:
    """Who the other workers are and which task types they know, looked up when somebody asks."""

    def __init__(self, presence: Presence, own_name: str) -> None:
        self._presence = presence
        self._own_name = own_name
        self._others: list[WorkerItem] = []
        self._looked_ms = monotonic_ms() - KNOWN_FOR_MS

    async def known(
        self, name: QueueName, types: AbstractSet[str], *, newest: bool = False
    ) -> set[str]:
        """Those of ``types`` that another live worker of a queue knows; ``newest``: look now.

        Raises:
            Unavailable: Redis is away.
        """
        await self._look(newest=newest)
        known = {each for other in self._others if name in other.queues for each in other.types}
        return known & types

    async def living(self) -> frozenset[str]:
        """Names of the workers that live, this one among them; of itself alone without Redis.

        A wipe of Redis empties the list: who is on it after one has announced itself since.
        """
        with suppress(Unavailable):
            await self._look(newest=True)
            return frozenset(each.worker for each in self._others) | {self._own_name}
        return frozenset({self._own_name})

    async def _look(self, *, newest: bool) -> None:
        now = monotonic_ms()
        if newest or now - self._looked_ms >= KNOWN_FOR_MS:
            workers = await self._presence.workers()
            self._others = [each for each in workers if each.worker != self._own_name]
            self._looked_ms = now
