"""Whether a few tasks that never finish keep a quorum queue's disk growing.

``python -m app.bench.disk --tasks 150000``: many tasks go through the whole ring beside a hundred
that are due in a year; then what lies on RabbitMQ's disk is compared with before. Before RabbitMQ
4.3 one old copy pins all that came after it, unless the rehydrator has it written again.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from app.bench.ground import TASKS_A_FILL, Ground, Place
from app.bench.handlers import REGISTRY
from app.bench.material import QUEUE, submissions
from app.broker.intake import Submission
from app.clock import now_ms
from app.envelope import encode
from app.names import new_task_id
from app.stack.process import ChildProcess, StackError, until
from app.stack.sources import Images
from app.stack.stack import Stack

YEAR_MS: Final = 365 * 24 * 3_600_000
REFRESH_AFTER_MS: Final = 20_000
NEVER_MS: Final = 1_500_000
OPEN_MOST: Final = 5_000
"""Tasks under way at a time: the disk must not grow for want of workers."""
SETTLED_WITHIN_MS: Final = 300_000
STEADY_MS: Final = 60_000
"""How long the disk is given to shrink once all is settled."""
MB: Final = 1_000_000
LOG_BYTES: Final = 16 * MB


def main() -> int:
    """Measure, tell, and end with 1 where the disk has grown by more than ``--most``."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.disk", description=__doc__)
    parser.add_argument("--tasks", type=int, default=150_000)
    parser.add_argument("--old", type=int, default=100, help="tasks that never finish")
    parser.add_argument("--most", type=float, default=30.0, help="megabytes it may grow")
    parser.add_argument("--without-refresh", action="store_true", help="to see what it prevents")
    told = parser.parse_args()
    document = asyncio.run(_in_a_folder(told))
    print(orjson.dumps(document).decode())
    return int(document["grownMb"] > told.most or document["copies"] != told.old)


async def _in_a_folder(told: argparse.Namespace) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="lifeboat-disk-"))
    stack = Stack(folder / "servers", images=Images())
    with (stack.rabbitmq.folder / "rabbitmq.conf").open("a") as conf:
        # Rolled over often, so that what is pinned must go to the segments.
        conf.write(f"raft.wal_max_size_bytes = {LOG_BYTES}\n")
    try:
        await stack.start()
        after_ms = NEVER_MS if told.without_refresh else REFRESH_AFTER_MS
        async with Ground(stack, folder).place(refresh_after_ms=after_ms) as place:
            return await _measure(stack, place, told.tasks, told.old)
    finally:
        stack.discard()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(stack: Stack, place: Place, tasks: int, old: int) -> dict[str, Any]:
    data, began = stack.rabbitmq.data, time.monotonic()
    async with AsyncExitStack() as processes:
        for arguments in (("mirror",), ("rehydrator",), ("worker", "--app", REGISTRY)):
            await processes.enter_async_context(_running(place.process(*arguments)))
        await place.fill(_never_finishing(place, old))
        await _until_copies(stack, place, old)
        before = _on_disk(data)
        _say(f"{old} tasks that never finish have their copies; on disk: {before / MB:.1f} MB.")
        most = await _pour(stack, place, tasks, old)
        await _until_copies(stack, place, old)
        after = await _steady(data)
    return {
        "tasks": tasks,
        "old": old,
        "copies": await _copies(stack, place),
        "beforeMb": round(before / MB, 1),
        "mostMb": round(most / MB, 1),
        "afterMb": round(after / MB, 1),
        "grownMb": round((after - before) / MB, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


async def _pour(stack: Stack, place: Place, tasks: int, old: int) -> int:
    """Submit all, never too many at once; the most bytes seen on disk."""
    coming, most, submitted = submissions(place.name, tasks), 0, 0
    session = place.session()
    token, intake = await session.token(), place.intake(session)
    while batch := list(islice(coming, TASKS_A_FILL)):
        await intake.enqueue(token, batch)
        submitted += len(batch)
        if submitted % OPEN_MOST == 0:
            await until(
                lambda: _has_room(stack, place, old), SETTLED_WITHIN_MS, "copies to be retired"
            )
            most = max(most, _on_disk(stack.rabbitmq.data))
            _say(f"{submitted:,} submitted; on disk: {_on_disk(stack.rabbitmq.data) / MB:.1f} MB.")
    return most


async def _has_room(stack: Stack, place: Place, old: int) -> bool:
    open_tasks = await place.redis.redis.xlen(place.session().keys.lanes[1])
    return int(open_tasks) + await _copies(stack, place) - old < OPEN_MOST


async def _until_copies(stack: Stack, place: Place, wanted: int) -> None:
    async def are_so_many() -> bool:
        return await _copies(stack, place) == wanted

    await until(are_so_many, SETTLED_WITHIN_MS, f"{wanted} copies and no more")


async def _copies(stack: Stack, place: Place) -> int:
    """Ready and unacked; -1 where the broker does not know the queue yet."""
    found = await stack.rabbitmq.manage("GET", f"/api/queues/{place.settings.env}")
    wanted = f"lifeboat.mirror.{QUEUE}"
    return next((each.get("messages", -1) for each in found if each["name"] == wanted), -1)


async def _steady(data: Path) -> int:
    """The least that is seen on disk within a while: segments are removed in the background."""
    least, due = _on_disk(data), time.monotonic() + STEADY_MS / 1_000
    while time.monotonic() < due:
        await asyncio.sleep(1)
        least = min(least, _on_disk(data))
    return least


def _on_disk(data: Path) -> int:
    """Bytes of all quorum queues' segments: the log they share is bounded by itself."""
    total = 0
    for file in data.rglob("*.segment"):
        try:
            total += file.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def _never_finishing(place: Place, count: int) -> Iterator[Submission]:
    for number in range(count):
        now = now_ms()
        yield Submission(
            encode(
                key=place.name.task(new_task_id()),
                type="bench.old",
                payload={"number": number},
                context={},
                options={"notBefore": now + YEAR_MS},
                run=1,
                digest=f"{number:064x}",
                accepted_at_ms=now,
            ),
            fresh=True,
        )


@asynccontextmanager
async def _running(process: ChildProcess) -> Any:
    process.start()
    try:
        yield process
    finally:
        if not process.running:
            raise StackError(f"{process.name} ended. Its log ends: {process.tail()}")
        await process.stop()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
