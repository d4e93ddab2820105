import sys

import pytest

from app.bench.drain import drain
from app.stack.process import ChildProcess, StackError


def child(tmp_path, program):
    return ChildProcess("child", [sys.executable, "-c", program], log=tmp_path / "child.log")


async def test_a_process_is_watched_until_nothing_is_left_and_then_ended(tmp_path):
    process = child(tmp_path, "import time; time.sleep(60)")
    coming = iter((500, 500, 400, 400, 100, 0))

    async def left():
        return next(coming)

    assert await drain(process, left) > 0
    assert next(coming, None) is None
    assert process.exit_code is not None


async def test_a_process_that_ends_early_is_told_with_its_last_words(tmp_path):
    process = child(tmp_path, "import sys; sys.exit('no settings')")

    async def left():
        return 500

    with pytest.raises(StackError, match=r"child ended(.|\n)*no settings"):
        await drain(process, left)
