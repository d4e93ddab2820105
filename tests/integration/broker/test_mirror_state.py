"""``mirror_state.lua`` and the subscription: who keeps the journal, and what it announces."""

import asyncio
from contextlib import suppress

from redis.exceptions import RedisError

from app.broker.journal import Sightings
from app.broker.keys import QueueKeys
from app.broker.watermark import MirrorState, Watermarks, read_mirror_state
from app.lifecycle import cancel
from app.names import QueueName
from tests.support.broker import Broker, connect
from tests.support.envelopes import TENANT, envelope
from tests.support.eventually import eventually


async def state(broker):
    return await read_mirror_state(broker.redis, broker.keys, broker.token)


async def test_no_mirror_was_seen_yet(broker):
    await broker.submit(envelope())
    assert await state(broker) == MirrorState(
        led=False, alive=False, blocked=False, journal_length=1
    )


async def test_a_mirror_that_holds_the_journal(broker):
    await broker.journal.hold(broker.token, "m1", 60_000, Sightings(blocked=True))
    assert await state(broker) == MirrorState(led=True, alive=True, blocked=True, journal_length=0)


async def test_a_mirror_that_was_there(broker):
    await broker.journal.hold(broker.token, "m1", 60_000, Sightings())
    await broker.journal.release(broker.token, "m1")
    assert await state(broker) == MirrorState(
        led=True, alive=False, blocked=False, journal_length=0
    )


async def test_a_confirmed_prefix_is_announced_with_its_watermark(redis, broker, env_name):
    told, confirmed = [], []
    watermarks = Watermarks(redis, env_name, TENANT)
    task = asyncio.create_task(watermarks.follow(lambda *what: told.append(what)))

    async def heard():
        await broker.submit(envelope(f"t{len(confirmed)}"))
        await broker.confirm()
        confirmed.append(await broker.recovery.watermark())
        return told

    await eventually(heard)
    channel, watermark = told[0]
    assert channel == broker.keys.watermark_channel
    assert (broker.token, watermark) in confirmed
    await cancel(task)


async def test_only_this_tenants_queues_are_followed_but_all_of_them(redis, env_name):
    told = set()
    watermarks = Watermarks(redis, env_name, TENANT)
    task = asyncio.create_task(watermarks.follow(lambda channel, _: told.add(channel)))

    def channel_of(tenant, queue):
        return QueueKeys(env_name, QueueName(tenant, queue)).watermark_channel

    async def heard():
        for tenant, queue in (("other", "mail"), (TENANT, "mail"), (TENANT, "sms")):
            await redis.redis.publish(channel_of(tenant, queue), "1-1")
        return len(told) == 2

    await eventually(heard)
    assert told == {channel_of(TENANT, "mail"), channel_of(TENANT, "sms")}
    await cancel(task)


async def test_the_subscription_comes_back_after_a_restart(private_redis, env_name):
    redis = connect(private_redis.url)
    broker = Broker(redis, env_name)
    told = []
    task = asyncio.create_task(
        Watermarks(redis, env_name, TENANT).follow(lambda *what: told.append(what))
    )

    async def heard():
        with suppress(RedisError):
            await redis.redis.publish(broker.keys.watermark_channel, "1-1")
        return told

    await eventually(heard)
    await private_redis.restart()
    told.clear()
    await eventually(heard)
    await cancel(task)
    await redis.close()
