"""How fast a run may restore."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

SLICE_S: Final = 0.1


class Rate:
    """Lets items pass, at most ``per_second`` of them; None: as many as come."""

    def __init__(self, per_second: float | None = None) -> None:
        self._per_second = per_second
        self._free_s = 0.0

    @property
    def is_limited(self) -> bool:
        """Whether some may have to wait."""
        return self._per_second is not None

    async def parts(self, items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
        """``items`` in slices, each when it may pass."""
        if self._per_second is None:
            yield items
            return
        size = max(1, int(self._per_second * SLICE_S))
        for start in range(0, len(items), size):
            part = items[start : start + size]
            now = time.monotonic()
            at = max(self._free_s, now)
            # Before waiting: others may ask meanwhile.
            self._free_s = at + len(part) / self._per_second
            await asyncio.sleep(at - now)
            yield part
