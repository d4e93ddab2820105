"""Looking at the stores while a drill runs."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Final, Never, TypeVar

import aiohttp
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from app.clock import monotonic_ms, now_ms
from app.drill import checker
from app.drill.ends import Witness
from app.drill.verdict import Sample
from app.stack.stack import Stack

EVERY_MS: Final = 1_000
ANSWER_WITHIN_S: Final = 0.8
LEDGER_EVERY_MS: Final = 3_000
LEDGER_SHARE: Final = 20
"""Reading a long ledger takes at most so small a part of the time."""
T = TypeVar("T")


async def sample(stack: Stack, prefix: str, queue: str, into: list[Sample]) -> Never:
    """Add a sample every second; ends by being cancelled.

    ``prefix`` is that of the queue's keys in Redis.
    """
    while True:
        began_ms = monotonic_ms()
        seen, copies = await asyncio.gather(
            _or_none(checker.redis_depth(stack, prefix)),
            _or_none(checker.copies_left(stack, queue)),
        )
        depth, journal = seen or (None, None)
        into.append(Sample(now_ms(), depth, journal, copies))
        await asyncio.sleep(max(0, began_ms + EVERY_MS - monotonic_ms()) / 1000)


async def watch(stack: Stack, sqlite: Path, queue: str, witness: Witness) -> Never:
    """Let ``witness`` see the ledger every few seconds; ends by being cancelled."""
    while True:
        began_ms, began = now_ms(), monotonic_ms()
        # While it is away: what it has is seen later.
        with suppress(PyMongoError, sqlite3.Error, OSError):
            witness.note(began_ms, await checker.read_records(stack, sqlite, queue))
        pause_ms = max(LEDGER_EVERY_MS, LEDGER_SHARE * (monotonic_ms() - began))
        await asyncio.sleep(pause_ms / 1000)


async def _or_none(answer: Awaitable[T]) -> T | None:
    """An answer, None if the store did not give it in time: that too is a reading."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await answer
    except (RedisError, aiohttp.ClientError, OSError, TimeoutError, TypeError, ValueError):
        return None
