"""``submit-python``: ``TaskQueue.submit`` in this process, beside bare calls of 100 tasks each."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

from app.bench.ground import Ground, Place
from app.bench.material import submissions, submit_body
from app.bench.measure import Bench, Sides
from app.clock import now_ms
from app.lifecycle import cancel
from app.task_queue.request import Origin, Rules, read_request
from app.task_queue.task_queue import TaskQueue

PRODUCERS: Final = 300
TASKS_A_CALL: Final = 100
CALLS_PREPARED: Final = 50


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Sides]:
    async with ground.place() as place:
        queue = TaskQueue(place.settings, place.redis, place.ledger)
        await queue.try_open()
        running = asyncio.create_task(queue.run(), name="task queue")

        async def ours(seconds: float) -> float:
            await place.redis.redis.flushall()
            return await _submit(queue, _rules(place), seconds)

        async def reference(seconds: float) -> float:
            await place.redis.redis.flushall()
            return await _enqueue(place, seconds)

        try:
            yield Sides(ours, reference)
        finally:
            await cancel(running)
            await queue.close()


async def _submit(queue: TaskQueue, rules: Rules, seconds: float) -> float:
    """Judge, encode and submit, one task at a time in each of many concurrent producers."""
    numbers = count()
    origin = Origin("python")
    accepted = 0
    started = time.perf_counter()

    async def produce() -> None:
        nonlocal accepted
        while time.perf_counter() - started < seconds:
            body = submit_body(next(numbers))
            await queue.submit(read_request(body, rules, origin, now_ms()))
            accepted += 1

    async with asyncio.TaskGroup() as producers:
        for _ in range(PRODUCERS):
            producers.create_task(produce())
    return accepted / (time.perf_counter() - started)


async def _enqueue(place: Place, seconds: float) -> float:
    """One call at a time; only the calls are timed, not the making of their tasks."""
    session = place.session()
    token, intake = await session.token(), place.intake(session)
    elapsed, accepted = 0.0, 0
    while elapsed < seconds:
        for _ in range(CALLS_PREPARED):
            batch = list(submissions(place.name, TASKS_A_CALL))
            started = time.perf_counter()
            await intake.enqueue(token, batch)
            elapsed += time.perf_counter() - started
            accepted += len(batch)
            if elapsed >= seconds:
                break
    return accepted / elapsed


def _rules(place: Place) -> Rules:
    settings = place.settings
    return Rules(
        tenant=settings.tenant,
        durability="fast",
        on_degraded="accept",
        envelope_bytes_max=settings.limit_envelope,
        context_chars_max=settings.limit_context,
        payloads={},
    )


BENCH: Final = Bench("submit-python", "one EVALSHA carrying 100 tasks", _open)
