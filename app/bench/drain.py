"""Timing a child process that empties something, by looking at the store it empties."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from app.stack.process import ChildProcess, StackError

LOOK_EVERY_S: Final = 0.02
PROGRESS_WITHIN_S: Final = 60.0

Count = Callable[[], Awaitable[int]]
Look = tuple[float, int]
"""Seconds, and what was left."""


async def drain(process: ChildProcess, left: Count) -> float:
    """Start ``process`` and watch it bring ``left`` down to 0: how many per second.

    Timed from the first progress seen, so that the process's start does not count.

    Raises:
        StackError: it ended, or made no progress for a minute.
    """
    looks = [(time.perf_counter(), await left())]
    process.start()
    try:
        while looks[-1][1]:
            await asyncio.sleep(LOOK_EVERY_S)
            look = (time.perf_counter(), await left())
            if look[1] != looks[-1][1]:
                looks.append(look)
            else:
                _raise_if_stuck(process, looks[-1], look)
    finally:
        await process.stop()
    return rate_of(looks)


def rate_of(looks: Sequence[Look]) -> float:
    """How many left per second, from looks at different counts, the first before the start. Pure.

    Where the first progress seen was the last, the start counts, for there is nothing else.
    """
    before, *seen = looks
    first = seen[0] if len(seen) > 1 else before
    return (first[1] - seen[-1][1]) / (seen[-1][0] - first[0])


def _raise_if_stuck(process: ChildProcess, progress: Look, look: Look) -> None:
    if not process.running:
        raise StackError(f"{process.name} ended. Its log ends: {process.tail()}")
    if look[0] - progress[0] > PROGRESS_WITHIN_S:
        raise StackError(
            f"{process.name} made no progress for {PROGRESS_WITHIN_S:.0f} s with {look[1]:,} left."
            f" Its log ends: {process.tail()}"
        )
