"""``touch.lua`` and the level fsync: accepted is answered once Redis has it on disk."""

import asyncio

import pytest

from app.broker.intake import Submission
from app.errors import DurabilityUnsupported, StaleGeneration
from tests.support.broker import Broker, connect
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

LEAST = (7, 2)


@pytest.fixture
async def private(newer_redis, env_name):
    """A queue in a Redis of the test's own."""
    connection = connect(newer_redis.url)
    broker = Broker(connection, env_name)
    await broker.attach()
    yield broker
    await connection.close()


@pytest.fixture
async def able(private):
    """One whose Redis knows WAITAOF."""
    version = await private.redis.version()
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST:
        pytest.skip(f"WAITAOF came with Redis 7.2; this is {version}: make matrix-setup")
    return private


@pytest.fixture
async def other(newer_redis, private):
    """The same queue over connections of its own."""
    connection = connect(newer_redis.url)
    other = Broker(connection, private.env)
    other.token = private.token
    yield other
    await connection.close()


async def fsync(broker, how):
    await broker.raw.config_set("appendfsync", how)


async def enqueue(broker, *envelopes, within_ms=10_000):
    return await broker.intake.enqueue(
        broker.token,
        [Submission(each, fresh=True) for each in envelopes],
        fsync=True,
        within_ms=within_ms,
    )


async def test_a_redis_that_cannot_say_is_refused_and_nothing_is_accepted(private):
    await private.raw.config_set("appendonly", "no")
    before = await private.snapshot()
    with pytest.raises(DurabilityUnsupported, match="fsync needs"):
        await enqueue(private, envelope())
    assert await private.snapshot() == before


async def test_after_a_refusal_other_levels_are_served(private):
    await private.raw.config_set("appendonly", "no")
    with pytest.raises(DurabilityUnsupported):
        await enqueue(private, envelope())
    (answer,) = await private.submit(envelope())
    assert (answer.outcome, answer.fsynced) == ("created", False)


async def test_a_server_that_is_switched_to_it_is_not_refused_for_ever(able):
    await able.raw.config_set("appendonly", "no")
    with pytest.raises(DurabilityUnsupported, match="append-only"):
        await enqueue(able, envelope())
    await able.raw.config_set("appendonly", "yes")
    (answer,) = await enqueue(able, envelope())
    assert answer.fsynced


@pytest.mark.parametrize("how", ["always", "everysec"])
async def test_what_is_on_disk_is_said_to_be(able, how):
    await fsync(able, how)
    answers = await enqueue(able, envelope("a"), envelope("b"))
    assert [(each.outcome, each.fsynced) for each in answers] == [("created", True)] * 2


async def test_what_is_not_on_disk_in_time_is_accepted_and_said_not_to_be(able):
    await fsync(able, "no")
    (answer,) = await enqueue(able, envelope(), within_ms=200)
    assert (answer.outcome, answer.fsynced) == ("created", False)
    assert await able.ready_ids() == ["a"]


async def test_a_repeat_waits_for_what_another_connection_wrote(able, other):
    await enqueue(able, envelope("first"))
    await fsync(able, "no")
    await other.submit(envelope())
    (answer,) = await enqueue(able, envelope(), within_ms=200)
    assert (answer.outcome, answer.fsynced) == ("duplicate", False)
    await fsync(able, "always")
    (answer,) = await enqueue(able, envelope())
    assert (answer.outcome, answer.fsynced) == ("duplicate", True)


async def test_what_was_not_accepted_is_not_on_disk(able):
    await able.submit(envelope())
    answers = await enqueue(able, envelope(payload={"to": "y"}), envelope("b"))
    assert [(each.outcome, each.fsynced) for each in answers] == [
        ("conflict", False),
        ("created", True),
    ]


async def test_however_many_wait_few_connections_do(able):
    await fsync(able, "everysec")
    answers = await asyncio.gather(*(enqueue(able, envelope(f"t{n}")) for n in range(200)))
    assert all(answer.fsynced for (answer,) in answers)
    calls = (await able.raw.info("commandstats"))["cmdstat_waitaof"]["calls"]
    assert calls < 20


async def test_while_they_wait_others_are_served(able):
    await fsync(able, "no")
    waiting = [
        asyncio.create_task(enqueue(able, envelope(f"t{n}"), within_ms=60_000)) for n in range(100)
    ]

    async def accepted():
        return len(await able.ready_ids()) == 100

    await eventually(accepted)
    await able.submit(envelope("other"))
    assert not any(each.done() for each in waiting)
    await fsync(able, "always")
    await able.submit(envelope("another"))
    assert all(answer.fsynced for (answer,) in await asyncio.gather(*waiting))


async def test_one_that_is_switched_off_meanwhile_is_said_so_and_then_refused(able):
    await enqueue(able, envelope("a"))
    await able.raw.config_set("appendonly", "no")
    (answer,) = await enqueue(able, envelope("b"))
    assert (answer.outcome, answer.fsynced) == ("created", False)
    with pytest.raises(DurabilityUnsupported):
        await enqueue(able, envelope("c"))


async def test_a_redis_that_dies_meanwhile_has_accepted_and_nothing_more(able, other, newer_redis):
    await enqueue(able, envelope("a"))
    await fsync(able, "no")
    waiting = asyncio.create_task(enqueue(able, envelope("b"), within_ms=60_000))

    async def accepted():
        return await other.raw.exists(able.keys.task("b"))

    await eventually(accepted)
    newer_redis.kill9()
    ((answer,),) = [await waiting]
    assert (answer.outcome, answer.fsynced) == ("created", False)


async def test_a_history_lost_meanwhile_is_no_answer(able):
    await enqueue(able, envelope("a"))
    await fsync(able, "no")
    waiting = asyncio.create_task(enqueue(able, envelope("b"), within_ms=60_000))

    async def accepted():
        return await able.raw.exists(able.keys.task("b"))

    await eventually(accepted)
    await able.lose_everything()
    with pytest.raises(StaleGeneration):
        await waiting


async def test_one_of_another_generation_is_refused_and_writes_nothing(able):
    able.token = "0" * 32
    before = await able.snapshot()
    with pytest.raises(StaleGeneration):
        await enqueue(able, envelope())
    assert await able.snapshot() == before
