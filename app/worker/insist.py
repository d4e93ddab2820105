"""Repeating a call until a store answers, as long as somebody still wants the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import StaleGeneration, Unavailable

T = TypeVar("T")

PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 2.0


class Unwanted(Exception):
    """Nobody wants the answer any more."""


async def insist(call: Callable[[], Awaitable[T]], wanted: Callable[[], bool]) -> T:
    """Repeat ``call``, which must be idempotent, until it answers.

    Raises:
        StaleGeneration: what the call was made with holds no more.
        Unwanted: before an answer came, nobody wanted it any more.
    """
    pause_s = PAUSE_S_MIN
    while wanted():
        try:
            return await call()
        except StaleGeneration:
            raise
        except Unavailable:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)
    raise Unwanted
