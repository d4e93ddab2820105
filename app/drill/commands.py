"""Commands of ``lifeboat`` as a person would run them during a drill."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.stack.process import StackError

COMMAND_WITHIN_S: Final = 120.0
WORDS: Final = 800


async def run(command: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run it with ``--json``; its document.

    Raises:
        StackError: it failed or took too long.
    """
    process = await start(command, environment)
    try:
        async with asyncio.timeout(COMMAND_WITHIN_S):
            out, errors = await process.communicate()
    except TimeoutError as error:
        process.kill()
        raise StackError(f"lifeboat {command} took over {COMMAND_WITHIN_S:.0f} s.") from error
    if process.returncode:
        words = errors.decode(errors="replace")[-WORDS:]
        raise StackError(f"lifeboat {command} ended with {process.returncode}: {words}")
    document: dict[str, Any] = orjson.loads(out)
    return document


async def start(
    command: str, environment: Mapping[str, str], *options: str
) -> asyncio.subprocess.Process:
    """One, under way; ``environment`` stands beside this process's own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", command, "--json", *options,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
