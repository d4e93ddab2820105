"""``mirror``: the real mirror emptying a journal, beside a bare publisher with confirms.

``mirror-copies`` is the same beside one that publishes what the mirror must: real copies, by way of
the topic exchange. What then is left of the distance is the mirror's, not the broker's.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from app.amqp.message import Origin, Publication, copy_publication
from app.amqp.topology import mirror_queue
from app.bench.drain import drain
from app.bench.ground import Ground, Place
from app.bench.material import BYTES, QUEUE, TYPE, submissions
from app.bench.measure import Amount, Bench, Sides
from app.bench.raw_amqp import BODY_MAX, CHANNEL, MESSAGES_A_WRITE, open_raw
from app.names import new_token
from app.stack.process import StackError
from mirror.publisher.frames import publish_frames

RATE: Final = 8_000.0


@asynccontextmanager
async def _open(make: Callable[[Place], Publication], ground: Ground) -> AsyncIterator[Sides]:
    amount = Amount(RATE)

    async def ours(seconds: float) -> float:
        return amount.saw(await _mirror(ground, amount.for_seconds(seconds)))

    async def reference(seconds: float) -> float:
        return await _publish(ground, make, seconds)

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


async def _publish(ground: Ground, make: Callable[[Place], Publication], seconds: float) -> float:
    """Straight into the same kind of queue, the same bytes again and again."""
    async with ground.place() as place:
        await place.declare_topology()
        async with open_raw(place.rabbitmq_url) as raw:
            await raw.select_confirms()
            started = time.perf_counter()
            count = await raw.publish(_until(started + seconds, make(place)))
            return count / (time.perf_counter() - started)


def _until(end: float, publication: Publication) -> Iterator[bytes]:
    message = b"".join(publish_frames(publication, new_token(), CHANNEL, BODY_MAX))
    while time.perf_counter() < end:
        for _ in range(MESSAGES_A_WRITE):
            yield message


def _bare(_place: Place) -> Publication:
    """The least that RabbitMQ can be asked to keep."""
    return Publication(
        exchange="",
        routing_key=mirror_queue(QUEUE),
        body=b"x" * BYTES,
        headers={},
        type=TYPE,
        timestamp_s=int(time.time()),
    )


def _copy(place: Place) -> Publication:
    """What the mirror publishes."""
    (task,) = submissions(place.name, 1)
    origin = Origin(
        place.settings.env, place.ledger.identity, generation=new_token(), journal_id="0-1"
    )
    return copy_publication(task.envelope, origin, int(time.time()))


BENCH: Final = Bench(
    "mirror",
    "a raw-frame publisher with confirms (same queue, 1 KB)",
    partial(_open, _bare),
    "messages/s",
)
COPIES: Final = Bench(
    "mirror-copies",
    "a raw-frame publisher of real copies with confirms (same exchange, headers and queue)",
    partial(_open, _copy),
    "messages/s",
)
