"""``announce_worker.lua``, ``forget_worker.lua`` and ``list_workers.lua``: which workers live."""

from dataclasses import replace

import pytest

from app.broker.keys import workers_key
from app.broker.presence import Presence, WorkerItem
from app.names import QueueName
from tests.support.eventually import eventually

LONG_MS = 60_000
ONE = WorkerItem(
    worker="host-1-a",
    queues=(QueueName("acme", "mail"), QueueName("other", "sms")),
    types=("http.deliver", "mail.send"),
    concurrency=50,
    running=3,
    started_at_ms=1_700_000_000_123,
    last_poll_at_ms=1_700_000_000_456,
)
OTHER = replace(ONE, worker="host-2-b", queues=(), types=(), running=0, last_poll_at_ms=0)


@pytest.fixture
def presence(redis, env_name):
    return Presence(redis, env_name)


async def names(presence):
    return [each.worker for each in await presence.workers()]


async def test_nobody_is_there_at_first(presence):
    assert await presence.workers() == []


async def test_those_who_said_so_are_listed_by_name_with_what_they_said(presence):
    await presence.announce(OTHER, LONG_MS)
    await presence.announce(ONE, LONG_MS)
    assert await presence.workers() == [ONE, OTHER]


async def test_the_latest_word_counts(presence):
    await presence.announce(ONE, LONG_MS)
    newer = replace(ONE, running=4)
    await presence.announce(newer, LONG_MS)
    assert await presence.workers() == [newer]


async def test_who_is_silent_for_too_long_is_forgotten_and_the_others_stay(
    redis, presence, env_name
):
    await presence.announce(OTHER, LONG_MS)
    await presence.announce(ONE, 1)

    async def forgotten():
        return await names(presence) == [OTHER.worker]

    await eventually(forgotten)
    assert await redis.redis.hkeys(workers_key(env_name)) == [OTHER.worker.encode()]


async def test_who_speaks_again_is_listed_again(presence):
    await presence.announce(ONE, 1)

    async def forgotten():
        return await names(presence) == []

    await eventually(forgotten)
    await presence.announce(ONE, LONG_MS)
    assert await presence.workers() == [ONE]


async def test_a_short_word_does_not_shorten_the_life_of_the_others(redis, presence, env_name):
    await presence.announce(OTHER, LONG_MS)
    await presence.announce(ONE, 100)
    assert await redis.redis.pttl(workers_key(env_name)) > 100


async def test_nothing_is_left_of_an_env_without_workers(redis, presence, env_name):
    await presence.announce(ONE, 1)

    async def gone():
        return not await redis.redis.exists(workers_key(env_name))

    await eventually(gone)


async def test_who_leaves_is_gone_at_once(presence):
    await presence.announce(ONE, LONG_MS)
    await presence.announce(OTHER, LONG_MS)
    await presence.leave(ONE.worker)
    await presence.leave("nobody")
    assert await names(presence) == [OTHER.worker]


async def test_envs_have_workers_of_their_own(redis, presence, env_name):
    await presence.announce(ONE, LONG_MS)
    assert await Presence(redis, env_name + "x").workers() == []


async def test_after_a_wipe_the_next_word_is_enough(redis, presence, env_name):
    await presence.announce(ONE, LONG_MS)
    await redis.redis.delete(workers_key(env_name))
    assert await presence.workers() == []
    await presence.announce(ONE, LONG_MS)
    assert await presence.workers() == [ONE]
