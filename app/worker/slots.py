"""How much a worker holds, and how much more it may take."""

import asyncio


class Slots:
    """How much this worker may hold.

    At most ``concurrency`` claims are on their way to a handler or in one; as many again may wait
    to be settled, so that a slow ledger does not idle the handlers, and a dead one stops them.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._active = 0
        self._held = 0
        self._halted = False
        self._freed = asyncio.Event()

    @property
    def room(self) -> int:
        """How many more entries may be fetched."""
        if self._halted:
            return 0
        return min(self._concurrency - self._active, 2 * self._concurrency - self._held)

    @property
    def active(self) -> int:
        """Claims that are on their way to a handler or in one."""
        return self._active

    @property
    def held(self) -> int:
        """All claims."""
        return self._held

    def take(self) -> None:
        """A claim was made."""
        self._active += 1
        self._held += 1

    def leave(self) -> None:
        """A claim needs no handler any more."""
        self._active -= 1
        self._freed.set()

    def free(self) -> None:
        """A claim is over, or its outcome lies in the spool."""
        self._held -= 1
        self._freed.set()

    def hold(self) -> None:
        """The outcome of a claim comes back from the spool."""
        self._held += 1

    def halt(self, halted: bool) -> None:
        """Have no room, whatever is free; or the usual room again."""
        self._halted = halted
        self._freed.set()

    async def wait_for_room(self, within_s: float) -> bool:
        """Whether there is room, after waiting for it for a while."""
        if self.room <= 0:
            self._freed.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._freed.wait()
            except TimeoutError:
                return False
        return self.room > 0
