"""A command that was started: what it printed, within a deadline."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from app.stack.process import StackError

WORDS: Final = 800
SUCCEEDED: Final = frozenset({0})


async def output_of(
    process: asyncio.subprocess.Process,
    name: str,
    within_s: float,
    succeeded: Collection[int] = SUCCEEDED,
) -> bytes:
    """What it printed on stdout; it has ended then, by itself or killed.

    Raises:
        StackError: it took longer, or ended with another code than ``succeeded``; its last words.
    """
    try:
        async with asyncio.timeout(within_s):
            out, errors = await process.communicate()
    except BaseException as error:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise StackError(f"{name} took over {within_s:.0f} s.") from error
        raise
    if process.returncode not in succeeded:
        words = (errors or out).decode(errors="replace")[-WORDS:]
        raise StackError(f"{name} ended with {process.returncode}: {words}")
    return out
