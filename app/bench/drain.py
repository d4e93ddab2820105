"""Timing a child process that empties something, by looking at the store it empties."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from app.stack.process import ChildProcess, StackError

LOOK_EVERY_S: Final = 0.02
PROGRESS_WITHIN_S: Final = 60.0

Count = Callable[[], Awaitable[int]]


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
    # Over before it was seen to begin: its whole start counts then.
    first = looks[1] if len(looks) > 2 else looks[0]  # noqa: PLR2004 - first, one between, last
    return (first[1] - looks[-1][1]) / (looks[-1][0] - first[0])


def _raise_if_stuck(
    process: ChildProcess, progress: tuple[float, int], look: tuple[float, int]
) -> None:
    if not process.running:
        raise StackError(f"{process.name} ended. Its log ends: {process.tail()}")
    if look[0] - progress[0] > PROGRESS_WITHIN_S:
        raise StackError(
            f"{process.name} made no progress for {PROGRESS_WITHIN_S:.0f} s with {look[1]:,} left."
            f" Its log ends: {process.tail()}"
        )
