"""``probe.lua``: whether Redis takes writes, told apart from whether it answers."""

import pytest

from app.broker.probe import LIVES_MS, probe_writes
from app.errors import Unavailable
from tests.support.broker import connect


async def test_a_redis_that_takes_writes(redis, env_name):
    await probe_writes(redis, env_name, "acme")
    ttl = await redis.redis.pttl(f"lb:{{{env_name}.acme}}:probe")
    assert 0 < ttl <= LIVES_MS


async def test_a_full_redis_answers_but_takes_no_writes(private_redis, env_name):
    redis = connect(private_redis.url)
    await redis.redis.config_set("maxmemory", 1)
    await redis.ping()
    with pytest.raises(Unavailable, match="maxmemory"):
        await probe_writes(redis, env_name, "acme")
    await redis.redis.config_set("maxmemory", 0)
    await probe_writes(redis, env_name, "acme")
    await redis.close()
