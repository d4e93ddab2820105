"""``rehydrate``: the command over a queue of copies with Redis empty, beside a bare replay."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.amqp.message import Origin, copy_publication
from app.amqp.topology import mirror_queue
from app.bench.ground import Ground, Place
from app.bench.material import QUEUE, submissions
from app.bench.measure import Amount, Bench, Sides
from app.bench.raw_amqp import BODY_MAX, CHANNEL, RawAmqp, open_raw
from app.names import new_token
from app.stack.command import output_of
from app.stack.process import StackError
from mirror.publisher.frames import publish_frames

RATE: Final = 5_000.0
REFERENCE_RATE: Final = 20_000.0
MOST: Final = 60_000
PREFETCH: Final = 2_000
TASKS_A_CALL: Final = 500
COMMAND_WITHIN_S: Final = 180.0
SUCCEEDED: Final = frozenset({0, 10})
STREAM: Final = "restored"
CREATE_IF_ABSENT: Final = """
local created = 0
for i = 1, #ARGV, 2 do
  if redis.call('SET', 'task:' .. ARGV[i], 1, 'NX') then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'envelope', ARGV[i + 1])
    created = created + 1
  end
end
return created
"""


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Sides]:
    amount, reference_amount = Amount(RATE, most=MOST), Amount(REFERENCE_RATE, most=MOST)

    async def ours(seconds: float) -> float:
        return amount.saw(await _rehydrate(ground, amount.for_seconds(seconds)))

    async def reference(seconds: float) -> float:
        count = reference_amount.for_seconds(seconds)
        return reference_amount.saw(await _replay(ground, count))

    yield Sides(ours, reference)


async def _rehydrate(ground: Ground, count: int) -> float:
    """By the report's own times: the run, without the start of the command."""
    async with ground.place() as place:
        await fill_with_copies(place, count)
        report = await _report(place)
        if report["restored"] < count:
            raise StackError(f"lifeboat rehydrate restored {report['restored']} of {count} tasks.")
        took_ms = report["finishedAt"] - report["startedAt"]
        return float(report["restored"] / (max(1, took_ms) / 1_000))


async def _report(place: Place) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *place.command("rehydrate", "--json"),
        env=place.whole_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out = await output_of(process, "lifeboat rehydrate", COMMAND_WITHIN_S, SUCCEEDED)
    report: dict[str, Any] = orjson.loads(out)
    return report


async def _replay(ground: Ground, count: int) -> float:
    """Consume, create what is absent, ack; from the consumer's start to the last ack written."""
    async with ground.place() as place:
        await fill_with_copies(place, count)
        redis: Redis = place.redis.redis
        create = await redis.script_load(CREATE_IF_ABSENT)
        async with open_raw(place.rabbitmq_url) as raw:
            started = time.perf_counter()
            await raw.consume(mirror_queue(QUEUE), PREFETCH)
            left = count
            while left:
                left -= await _restore(raw, redis, create, min(left, TASKS_A_CALL))
            return count / (time.perf_counter() - started)


async def _restore(raw: RawAmqp, redis: Redis, create: str, count: int) -> int:
    messages = await raw.deliveries(count)
    arguments: list[str | bytes] = []
    for message in messages:
        arguments += (message.correlation_id, message.body)
    created = int(await redis.evalsha(create, 1, STREAM, *arguments))
    if created < count:
        raise StackError(f"The bare replay created {created} of {count} tasks.")
    raw.ack_up_to(messages[-1].tag)
    return count


async def fill_with_copies(place: Place, count: int) -> None:
    """Copies as the mirror writes them, of tasks that Redis does not know."""
    await place.declare_topology()
    async with open_raw(place.rabbitmq_url) as raw:
        await raw.select_confirms()
        await raw.publish(_copies(place, count))


def _copies(place: Place, count: int) -> Iterator[bytes]:
    generation = new_token()
    now_s = int(time.time())
    for number, each in enumerate(submissions(place.name, count)):
        origin = Origin(
            place.settings.env, place.ledger.identity, generation, f"{now_s}000-{number}"
        )
        publication = copy_publication(each.envelope, origin, now_s)
        yield b"".join(publish_frames(publication, new_token(), CHANNEL, BODY_MAX))


BENCH: Final = Bench(
    "rehydrate", "a raw-frame replay (prefetch 2,000, one EVALSHA per 500, ack multiple)", _open
)
