"""``run``: a real worker with a task that does nothing, beside a bare reader of a stream."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final

from redis.asyncio import Redis

from app.bench.drain import drain
from app.bench.ground import Ground, Place
from app.bench.handlers import REGISTRY
from app.bench.material import submissions
from app.bench.measure import Amount, Bench, Sides
from app.broker.intake import Submission
from app.names import TaskKey
from app.stack.process import StackError

RATE: Final = 3_000.0
REFERENCE_RATE: Final = 40_000.0
ENTRIES_A_CALL: Final = 100
FILL: Final = 500
STREAM, GROUP, CONSUMER = "bare", "readers", "reader"
KEYS_A_LOOK: Final = 500


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Sides]:
    amount, reference_amount = Amount(RATE), Amount(REFERENCE_RATE)

    async def ours(seconds: float) -> float:
        return amount.saw(await _work(ground, amount.for_seconds(seconds)))

    async def reference(seconds: float) -> float:
        count = reference_amount.for_seconds(seconds)
        return reference_amount.saw(await _read(ground, count))

    yield Sides(ours, reference)


async def _work(ground: Ground, count: int) -> float:
    """From the first task settled to the last, as the ready stream shows them leave."""
    async with ground.place() as place:
        keys: list[TaskKey] = []
        session = await place.fill(_sampled(place, count, keys))
        lane = session.keys.lanes[1]
        worker = place.process("worker", "--app", REGISTRY)

        async def left() -> int:
            return int(await place.redis.redis.xlen(lane))

        rate = await drain(worker, left)
        standings = await place.ledger.ask(keys)
        done = sum(1 for key in keys if key in standings and standings[key].is_finished(1))
        if done < len(keys):
            raise StackError(f"The ledger has only {done} of {len(keys)} tasks looked for.")
        return rate


def _sampled(place: Place, count: int, keys: list[TaskKey]) -> Iterator[Submission]:
    """Tasks to submit; the keys of some, evenly spread, go to ``keys``."""
    every = max(1, count // KEYS_A_LOOK)
    for number, each in enumerate(submissions(place.name, count)):
        if number % every == 0:
            keys.append(each.envelope.key)
        yield each


async def _read(ground: Ground, count: int) -> float:
    """XREADGROUP and XACK, nothing else, over a plain stream of the same envelopes."""
    async with ground.place() as place:
        redis: Redis = place.redis.redis
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        coming = submissions(place.name, count)
        while batch := list(islice(coming, FILL)):
            pipeline = redis.pipeline(transaction=False)
            for each in batch:
                pipeline.xadd(STREAM, {"envelope": each.envelope.raw})
            await pipeline.execute()
        done, started = 0, time.perf_counter()
        while done < count:
            found: Any = await redis.xreadgroup(
                GROUP, CONSUMER, {STREAM: ">"}, count=ENTRIES_A_CALL
            )
            entries = found[0][1]
            done += await redis.xack(STREAM, GROUP, *(entry[0] for entry in entries))
        return count / (time.perf_counter() - started)


BENCH: Final = Bench("run", "a bare XREADGROUP+XACK consumer", _open)
