"""A paused process runs no code from when ``pause`` returns, however many threads it has."""

import sys
from pathlib import Path

import pytest

from app.stack.process import ChildProcess
from tests.support.eventually import eventually

BUSY = """
import sys, threading
def count(n):
    while True:
        with open(f"{sys.argv[1]}/{n}", "ab", buffering=0) as file:
            file.write(b"x")
for n in range(8):
    threading.Thread(target=count, args=(n,)).start()
"""


@pytest.fixture
def busy(tmp_path):
    folder = tmp_path / "counts"
    folder.mkdir()
    process = ChildProcess("busy", [sys.executable, "-c", BUSY, str(folder)], log=tmp_path / "log")
    process.start()
    yield process, folder
    process.kill9()


def states(process):
    return {
        each.read_text().rpartition(")")[2].split()[0]
        for each in Path(f"/proc/{process.pid}/task").glob("*/stat")
    }


async def test_no_thread_runs_any_more_when_pause_has_returned(busy):
    process, folder = busy
    await eventually(lambda: len(list(folder.iterdir())) == 8)
    for _ in range(300):
        process.pause()
        assert states(process) == {"T"}
        process.resume()
