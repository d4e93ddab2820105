"""What a command printed, within a deadline."""

import asyncio
import sys

import pytest

from app.stack.command import output_of
from app.stack.process import StackError

PIPE = asyncio.subprocess.PIPE


async def python(code):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=PIPE, stderr=PIPE
    )


async def test_what_it_printed_is_told():
    assert await output_of(await python("print(7)"), "it", 30) == b"7\n"


async def test_a_code_that_counts_as_success_is_one():
    process = await python("print(7); raise SystemExit(10)")
    assert await output_of(process, "it", 30, {0, 10}) == b"7\n"


async def test_another_code_is_told_with_its_last_words():
    process = await python("import sys; sys.exit('no disk')")
    with pytest.raises(StackError, match="it ended with 1: no disk"):
        await output_of(process, "it", 30)


async def test_who_takes_too_long_is_killed():
    process = await python("import time; time.sleep(60)")
    with pytest.raises(StackError, match="it took over 0 s"):
        await output_of(process, "it", 0.01)
    assert process.returncode is not None


async def test_who_is_not_waited_for_any_more_is_killed():
    process = await python("import time; time.sleep(60)")
    waiting = asyncio.create_task(output_of(process, "it", 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert process.returncode is not None
