"""``python -m app.bench.unfinished``: so many tasks unfinished in RabbitMQ, Redis empty, all back.

On private servers: fills a mirror queue with copies of tasks that Redis does not know, as after a
wipe, rehydrates, rehydrates again, and counts what is where. One JSON document on stdout; exit 1
where something is missing, came back twice, or the command took more memory than it may.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
import uvloop

from app.bench.ground import Ground, Place
from app.bench.rehydrate import SUCCEEDED, fill_with_copies
from app.stack.process import StackError
from app.stack.sources import Images
from app.stack.stack import Stack

TASKS: Final = 100_000
RSS_MB_MAX: Final = 120.0
KIB_A_MB: Final = 1_024
PAGE: Final = 1_000
MEASURED: Final = """
import os, subprocess, sys
pid = subprocess.Popen(sys.argv[1:]).pid
_, status, usage = os.wait4(pid, 0)
sys.stderr.write(f"\\n{usage.ru_maxrss} {usage.ru_utime + usage.ru_stime}\\n")
os._exit(os.waitstatus_to_exitcode(status) & 255)
"""
"""Only the kernel knows a process's peak, and counts its maker's in: so a small one makes it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of ``lifeboat rehydrate``; ``peak_rss_mb`` and ``cpu_s`` are the whole process's."""

    state: str
    restored: int
    present: int
    seconds: float
    peak_rss_mb: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it; ``in_redis`` are distinct tasks in the ready streams, ``entries`` all."""

    tasks: int
    first: Ran
    second: Ran
    in_redis: int
    entries: int
    copies_ready: int

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be, as sentences."""
        peak_mb = max(self.first.peak_rss_mb, self.second.peak_rss_mb)
        checks = {
            f"restored {self.first.restored} of {self.tasks}": self.first.restored == self.tasks,
            f"a second run restored {self.second.restored}": not self.second.restored,
            f"a second run saw {self.second.present}": self.second.present == self.tasks,
            f"{self.in_redis} tasks are in Redis": self.in_redis == self.tasks,
            f"{self.entries} entries are in Redis": self.entries == self.tasks,
            f"{self.copies_ready} copies are in RabbitMQ": self.copies_ready == self.tasks,
            f"a run took {peak_mb:.0f} MB": peak_mb <= RSS_MB_MAX,
        }
        return [words for words, is_right in checks.items() if not is_right]


async def restore_all(ground: Ground, tasks: int) -> Found:
    """Fill, rehydrate twice, count.

    Raises:
        StackError: a run failed.
    """
    async with ground.place() as place:
        await fill_with_copies(place, tasks)
        first = await asyncio.to_thread(_run, place)
        second = await asyncio.to_thread(_run, place)
        ids, entries = await _in_redis(place)
        return Found(tasks, first, second, len(ids), entries, await place.copies())


def _run(place: Place) -> Ran:
    began_s = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", MEASURED, *place.command("rehydrate", "--json")],
        env=place.whole_environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode not in SUCCEEDED:
        words = done.stderr.decode(errors="replace")[-800:]
        raise StackError(f"lifeboat rehydrate ended with {done.returncode}: {words}")
    report: dict[str, Any] = orjson.loads(done.stdout)
    peak_kib, cpu_s = done.stderr.split()[-2:]
    return Ran(
        state=report["state"],
        restored=report["restored"],
        present=report["present"],
        seconds=round(time.monotonic() - began_s, 1),
        peak_rss_mb=round(int(peak_kib) / KIB_A_MB, 1),
        cpu_s=round(float(cpu_s), 2),
    )


async def _in_redis(place: Place) -> tuple[set[bytes], int]:
    ids: set[bytes] = set()
    entries = 0
    for lane in place.session().keys.lanes:
        after = "-"
        while page := cast(
            list[tuple[bytes, dict[bytes, bytes]]],
            await place.redis.redis.xrange(lane, after, "+", count=PAGE),
        ):
            ids |= {fields[b"id"] for _, fields in page}
            entries += len(page)
            after = f"({page[-1][0].decode()}"
    return ids, entries


async def play(tasks: int, images: Images) -> Found:
    """The same on private servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="lifeboat-unfinished-"))
    try:
        stack = Stack(folder / "servers", images=images)
        try:
            await stack.start()
            return await restore_all(Ground(stack, folder), tasks)
        finally:
            stack.discard()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Play it and print what was found; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.unfinished", description=__doc__)
    parser.add_argument("--tasks", type=int, default=TASKS, metavar="N")
    found = uvloop.run(play(parser.parse_args().tasks, Images()))
    document = {**asdict(found), "wrong": found.wrong}
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
