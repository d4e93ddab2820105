"""A server that is said to be wiped has no data: a fault that did not happen must not count."""

import shutil

import pytest
from redis.asyncio import Redis

from app.stack.process import StackError


async def test_what_is_started_after_a_wipe_is_empty(private_redis):
    async with Redis.from_url(private_redis.url) as client:
        await client.set("a", "b")
    private_redis.wipe()
    await private_redis.start()
    async with Redis.from_url(private_redis.url) as client:
        assert not await client.exists("a")


async def test_data_that_stays_is_no_wipe(private_redis, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(StackError, match="cannot be removed"):
            private_redis.wipe()
        private_redis.discard()
