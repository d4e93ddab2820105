"""Durability ``fsync``: reached where Redis can say so, refused where it cannot."""

import pytest

from app.broker.connection import RedisConnection
from tests.integration.api.api import TASK
from tests.integration.api.test_batch import batch


async def configure(server, settings_of, **options):
    """Set options of a Redis; its version."""
    redis = RedisConnection.from_settings(settings_of(redis_url=server.url))
    for name, value in options.items():
        await redis.redis.config_set(name, value)
    version = await redis.version()
    await redis.close()
    return version


@pytest.fixture
async def own_redis_api(start, newer_redis):
    return await start(redis_url=newer_redis.url, confirm_timeout_ms=10_000)


@pytest.fixture
async def able_api(own_redis_api, newer_redis, settings_of):
    """An API whose Redis has an append-only file and can wait for it."""
    version = await configure(newer_redis, settings_of, appendonly="yes")
    if tuple(map(int, version.split(".")[:2])) < (7, 2):
        pytest.skip(f"WAITAOF came with Redis 7.2; this is {version}: make matrix-setup")
    return own_redis_api


async def test_a_redis_that_cannot_say_is_refused_and_nothing_is_kept(
    own_redis_api, newer_redis, settings_of
):
    await configure(newer_redis, settings_of, appendonly="no")
    answer = await batch(own_redis_api, [TASK | {"durability": "fsync"}, TASK | {"taskId": "t1"}])
    first, second = answer.document["items"]
    assert (first["status"], first["code"]) == (422, "durability_unsupported")
    assert [each["pointer"] for each in first["errors"]] == ["#/durability"]
    assert second["disposition"] == "created"
    assert (await own_redis_api.get("/v1/queues/default")).document["depth"]["queued"] == 1


async def test_what_is_on_disk_is_said_to_be(able_api):
    for _ in range(2):
        answer = await able_api.submit(taskId="t1", durability="fsync", onDegraded="refuse")
        assert answer.status in (200, 202)
        assert answer.document["durability"] == {"requested": "fsync", "reached": "fsync"}
    tasks = [TASK | {"durability": "fsync"} for _ in range(100)]
    answer = await batch(able_api, [*tasks, TASK])
    reached = [each["durability"]["reached"] for each in answer.document["items"]]
    assert reached == ["fsync"] * 100 + ["fast"]
