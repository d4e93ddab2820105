"""``mirror``: the real mirror emptying a journal, beside a bare publisher with confirms."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from app.amqp.message import Publication
from app.amqp.topology import mirror_queue
from app.bench.drain import drain
from app.bench.ground import Ground
from app.bench.material import BYTES, QUEUE, TYPE, submissions
from app.bench.measure import Amount, Bench, Sides
from app.bench.raw_amqp import BODY_MAX, CHANNEL, MESSAGES_A_WRITE, open_raw
from app.names import new_token
from app.stack.process import StackError
from mirror.publisher.frames import publish_frames

RATE: Final = 8_000.0


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Sides]:
    amount = Amount(RATE)

    async def ours(seconds: float) -> float:
        return amount.saw(await _mirror(ground, amount.for_seconds(seconds)))

    async def reference(seconds: float) -> float:
        return await _publish(ground, seconds)

    yield Sides(ours, reference)


async def _mirror(ground: Ground, count: int) -> float:
    """From the first entry seen to leave the journal to the last: each has a confirmed copy."""
    async with ground.place() as place:
        session = await place.fill(submissions(place.name, count))
        journal = session.keys.journal

        async def left() -> int:
            return int(await place.redis.redis.xlen(journal))

        rate = await drain(place.process("mirror"), left)
        if (copies := await place.copies()) < count:
            raise StackError(f"RabbitMQ has only {copies} of {count} copies.")
        return rate


async def _publish(ground: Ground, seconds: float) -> float:
    """Straight into the same kind of queue, the same bytes again and again."""
    async with ground.place() as place:
        await place.declare_topology()
        async with open_raw(place.rabbitmq_url) as raw:
            await raw.select_confirms()
            started = time.perf_counter()
            count = await raw.publish(_until(started + seconds))
            return count / (time.perf_counter() - started)


def _until(end: float) -> Iterator[bytes]:
    publication = Publication(
        exchange="",
        routing_key=mirror_queue(QUEUE),
        body=b"x" * BYTES,
        headers={},
        type=TYPE,
        timestamp_s=int(time.time()),
    )
    message = b"".join(publish_frames(publication, new_token(), CHANNEL, BODY_MAX))
    while time.perf_counter() < end:
        for _ in range(MESSAGES_A_WRITE):
            yield message


BENCH: Final = Bench(
    "mirror", "a raw-frame publisher with confirms (same queue, 1 KB)", _open, "messages/s"
)
