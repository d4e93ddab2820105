"""A drill on given servers touches an env, a vhost and a database of its own, and leaves nothing."""

import json

import pytest
from pymongo import MongoClient
from redis.asyncio import Redis

from app.drill.given import GivenStack, own_env
from app.settings import load
from app.stack.process import StackError


@pytest.fixture
def stack(tmp_path, redis_server, rabbitmq_server, mongo_url):
    settings = load(
        redis_url=redis_server.url,
        rabbitmq_url=rabbitmq_server.vhost_url("somebodys"),
        rabbitmq_management_url=rabbitmq_server.management_url,
        mongo_url=mongo_url,
    )
    return GivenStack(tmp_path, settings, own_env(1))


async def vhosts(server):
    return {each["name"] for each in await server.manage("GET", "/api/vhosts")}


async def test_only_the_keys_of_its_env_are_removed(stack, redis_server):
    env, other = stack.env, f"{stack.env}x"
    mine = [f"lb:{{{env}.default.drill}}:journal", f"lb:{{{env}}}:workers"]
    others = [f"lb:{{{other}.default.drill}}:journal", f"lb:{{{other}}}:workers", f"{env}-mine"]
    async with Redis.from_url(redis_server.url) as client:
        await client.mset(dict.fromkeys([*mine, *others], "1"))
        try:
            assert await stack.given_redis.forget_env(env) == len(mine)
            assert await client.exists(*mine) == 0
            assert await client.exists(*others) == len(others)
            assert await stack.given_redis.forget_env(env) == 0
        finally:
            await client.delete(*others)


async def test_what_it_made_is_removed_and_nothing_else(stack, rabbitmq_server, mongo_url):
    before = await vhosts(rabbitmq_server)
    await stack.start()
    assert await vhosts(rabbitmq_server) - before == {stack.env}
    named = stack.environment()
    assert named["LIFEBOAT_ENV"] == stack.env
    assert named["LIFEBOAT_RABBITMQ_URL"].endswith(f"/{stack.env}")
    with MongoClient(named["LIFEBOAT_MONGO_URL"]) as own, MongoClient(mongo_url) as others:
        own.get_default_database()["records"].insert_one({"_id": "a"})
        others.get_default_database()["records"].insert_one({"_id": "b"})
        assert await stack.remove() == []
        assert own.get_default_database()["records"].count_documents({}) == 0
        assert others.get_default_database()["records"].count_documents({}) == 1
    assert await vhosts(rabbitmq_server) == before


async def test_without_the_right_to_make_a_vhost_it_says_so(stack, rabbitmq_server):
    user = {"password": "guest", "tags": "management"}
    await rabbitmq_server.manage("PUT", "/api/users/nobody", user)
    try:
        stack.rabbitmq._management_url = rabbitmq_server.management_url.replace("guest:", "nobody:")
        with pytest.raises(StackError, match="administrator"):
            await stack.start()
    finally:
        await rabbitmq_server.manage("DELETE", "/api/users/nobody")


def test_credentials_are_looked_for_where_they_were(tmp_path):
    settings = load(
        redis_url="redis://127.0.0.1:1/0",
        rabbitmq_url="amqp://me:se%2Fcret@one/mine,amqp://two/mine",
        rabbitmq_management_url="http://me:secret@one:15672/,http://two:15672",
        mongo_url="mongodb://me:secret@one,two/mine?replicaSet=rs",
    )
    named = GivenStack(tmp_path, settings, "drill-1-abc").environment()
    assert json.dumps(named).count("drill-1-abc") == 4
    assert (
        named["LIFEBOAT_RABBITMQ_URL"]
        == "amqp://me:se%2Fcret@one/drill-1-abc,amqp://two/drill-1-abc"
    )
    assert named["LIFEBOAT_RABBITMQ_MANAGEMENT_URL"] == "http://me:secret@one:15672"
    assert (
        named["LIFEBOAT_MONGO_URL"]
        == "mongodb://me:secret@one,two/drill-1-abc?replicaSet=rs&authSource=mine"
    )
