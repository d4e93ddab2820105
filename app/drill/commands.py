"""Commands of ``lifeboat`` as a person would run them during a drill."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.stack.command import output_of

COMMAND_WITHIN_S: Final = 120.0


async def run(command: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run it with ``--json``; its document.

    Raises:
        StackError: it failed or took too long.
    """
    process = await start(command, environment)
    out = await output_of(process, f"lifeboat {command}", COMMAND_WITHIN_S)
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
