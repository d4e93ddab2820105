"""``mirrored`` is said on the mark or a finished record alone (rule 3): nothing else is evidence."""

import asyncio

import orjson
import pytest

from tests.integration.api.conftest import NOWHERE
from tests.support.eventually import eventually

PAST_EVERY_ENTRY = "9999999999999-0"
ANOTHERS_DIGEST = "f" * 64


@pytest.fixture
async def waiting(start, stores):
    """A submit that waits for its copy; nobody mirrors."""
    api = await start(rabbitmq_url=NOWHERE, confirm_timeout_ms=3_000)
    submitting = asyncio.create_task(api.submit(taskId="t1"))
    await eventually(lambda: stores.redis.redis.xlen(stores.keys().journal))
    yield submitting
    submitting.cancel()


async def reached(submitting):
    answer = await submitting
    assert answer.status == 202
    return answer.document["durability"]["reached"]


async def the_task_is_lost(stores):
    await stores.redis.redis.delete(stores.keys().task("t1"))


async def everything_is_lost(stores):
    await stores.redis.redis.delete(*await stores.redis_keys())


async def test_a_watermark_past_the_entry_is_none(waiting, stores):
    channel = stores.keys().watermark_channel
    # Somebody hears it: the API follows the announcements of the queue.
    await eventually(lambda: stores.redis.redis.publish(channel, PAST_EVERY_ENTRY))
    assert await reached(waiting) == "fast"


@pytest.mark.parametrize("lose", [the_task_is_lost, everything_is_lost])
async def test_that_redis_knows_nothing_of_the_task_is_none(waiting, stores, lose):
    await lose(stores)
    assert await reached(waiting) == "fast"


@pytest.mark.parametrize("lose", [the_task_is_lost, everything_is_lost])
async def test_a_finished_record_is_as_good_as_a_copy(waiting, stores, lose):
    (_, fields), *_ = await stores.redis.redis.xrange(stores.keys().journal)
    await stores.record(fields[b"envelope"])
    await lose(stores)
    assert await reached(waiting) == "mirrored"


@pytest.mark.parametrize("lose", [the_task_is_lost, everything_is_lost])
async def test_the_finished_record_of_another_request_under_the_id_is_none(waiting, stores, lose):
    (_, fields), *_ = await stores.redis.redis.xrange(stores.keys().journal)
    other = {**orjson.loads(fields[b"envelope"]), "requestDigest": ANOTHERS_DIGEST}
    await stores.record(orjson.dumps(other))
    await lose(stores)
    assert await reached(waiting) == "fast"


async def test_the_mark_of_another_request_under_the_id_is_none(waiting, stores):
    task = stores.keys().task("t1")
    await stores.redis.redis.hset(task, mapping={"digest": ANOTHERS_DIGEST, "mirrored": 1})
    assert await reached(waiting) == "fast"


async def test_the_mark_is(waiting, stores):
    assert await stores.mirror() == 1
    assert await reached(waiting) == "mirrored"
