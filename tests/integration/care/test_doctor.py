"""``doctor``: real servers, healthy, ailing and away."""

import aiohttp
import pytest

from app.amqp.connection import open_channel
from app.amqp.topology import DEAD_LETTERS
from app.stack.process import free_port
from rehydrator.care.doctor import examine
from tests.support.broker import connect
from tests.support.envelopes import QUEUE, envelope
from tests.support.eventually import eventually
from tests.support.proxy import Proxy


@pytest.fixture
async def cared_for(make_ward, rabbitmq_management_url):
    ward = await make_ward(rabbitmq_management_url=rabbitmq_management_url, store_timeout_ms=10_000)
    await ward.accept(envelope("a"))
    return ward


async def examined(ward, **changes):
    return await examine(ward.settings.model_copy(update=changes))


def grades(checks):
    return {each.name: each.grade for each in checks}


def failures(checks):
    return [each.name for each in checks if each.grade == "fail"]


def sentence(checks, name):
    return next(each.sentence for each in checks if each.name == name and each.grade != "ok")


async def test_healthy_servers_have_no_failures_and_their_copies_stay(cared_for):
    checks = await examined(cared_for)
    assert failures(checks) == [], checks
    found = grades(checks)
    assert {"redis-eviction", "redis-aof", "rabbitmq-confirm", "rabbitmq-env", "ledger-clock"} <= {
        name for name, grade in found.items() if grade == "ok"
    }
    assert any(name.startswith("rabbitmq-node ") for name in found)
    # One node each.
    assert found[f"rabbitmq-queue lifeboat.mirror.{QUEUE}"] == "warn"
    assert await cared_for.ready() == 1


async def test_mongodb_is_examined_too(make_ward, mongo_url):
    ward = await make_ward(mongo_url=mongo_url, store_timeout_ms=10_000)
    checks = await examined(ward)
    assert failures(checks) == [], checks
    assert grades(checks)["mongodb-version"] == "ok"
    assert "replica set of 1" in sentence(checks, "ledger-durability")


async def test_each_server_that_is_away_is_a_failed_check_and_the_others_are_examined(cared_for):
    nowhere = free_port()
    away = {
        "redis_url": f"redis://127.0.0.1:{nowhere}/0",
        "rabbitmq_url": f"amqp://guest:guest@127.0.0.1:{nowhere}/x",
        "rabbitmq_management_url": f"http://guest:guest@127.0.0.1:{nowhere}",
        "sqlite_path": cared_for.settings.sqlite_path.parent / "no-folder" / "ledger",
    }
    expected = {
        "redis_url": {"redis", "redis-ledger"},
        "rabbitmq_url": {"rabbitmq"},
        "rabbitmq_management_url": {"rabbitmq-management", "rabbitmq-nodes"},
        "sqlite_path": {"ledger"},
    }
    for name, value in away.items():
        assert set(failures(await examined(cared_for, **{name: value}))) == expected[name]
    checks = await examined(cared_for, **away)
    assert set(failures(checks)) == {"redis", "rabbitmq", "ledger"}
    assert not away["sqlite_path"].exists()
    assert all(each.sentence for each in checks)


async def test_what_is_not_configured_is_said(cared_for):
    checks = await examined(cared_for, rabbitmq_url=None, sqlite_path=None)
    assert set(failures(checks)) == {"rabbitmq", "ledger"}
    assert "LIFEBOAT_RABBITMQ_URL" in sentence(checks, "rabbitmq")
    checks = await examined(cared_for, rabbitmq_management_url=None)
    assert grades(checks)["rabbitmq-management"] == "warn"


async def test_a_redis_that_evicts_or_forgets_is_found(cared_for, private_redis):
    redis = connect(private_redis.url)
    await redis.redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.redis.config_set("appendonly", "no")
    checks = await examined(cared_for, redis_url=private_redis.url)
    await redis.close()
    assert failures(checks) == ["redis-eviction"]
    assert grades(checks)["redis-aof"] == "warn"


async def test_a_replica_is_found(cared_for, private_redis):
    redis = connect(private_redis.url)
    await redis.redis.replicaof("127.0.0.1", free_port())
    checks = await examined(cared_for, redis_url=private_redis.url)
    await redis.close()
    assert {"redis-role", "redis-writes"} <= set(failures(checks))


async def test_a_ledger_that_redis_and_the_copies_do_not_know_is_found(cared_for):
    await cared_for.broker.raw.hset(cared_for.broker.keys.generation, "ledger", "another")
    checks = await examined(cared_for)
    assert failures(checks) == ["redis-ledger"]
    await cared_for.broker.raw.hdel(cared_for.broker.keys.generation, "ledger")
    await cared_for.copy_ids()
    await cared_for.copy(envelope("b"), ledger="another")
    assert failures(await examined(cared_for)) == [f"rabbitmq-copies {QUEUE}"]
    await cared_for.copy_ids()
    await cared_for.copy(envelope("b"), env="another")
    assert failures(await examined(cared_for)) == [f"rabbitmq-copies {QUEUE}"]


async def test_a_lost_queue_is_found(cared_for):
    await cared_for.delete_queue()
    checks = await examined(cared_for)
    assert failures(checks) == [f"rabbitmq-copies {QUEUE}"]
    assert "remirror" in sentence(checks, f"rabbitmq-copies {QUEUE}")


async def test_a_lost_dead_letter_exchange_is_found(cared_for):
    async with open_channel(cared_for.connection) as channel:
        await channel.exchange_delete(DEAD_LETTERS)
    assert failures(await examined(cared_for)) == [f"rabbitmq-exchange {DEAD_LETTERS}"]


async def test_a_broker_that_confirms_nothing_is_found(cared_for):
    async with Proxy(cared_for.rabbitmq_url) as proxy:
        proxy.hold_answers()
        checks = await examined(cared_for, rabbitmq_url=proxy.url, store_timeout_ms=1_500)
    assert failures(checks) == ["rabbitmq"]


async def test_a_policy_that_drops_copies_is_found(cared_for, rabbitmq_management_url):
    vhost = cared_for.settings.env
    url = f"{rabbitmq_management_url}/api/policies/{vhost}/bad"
    policy = {"pattern": "^lifeboat", "definition": {"delivery-limit": 20}, "apply-to": "queues"}
    async with aiohttp.ClientSession() as session, session.put(url, json=policy) as response:
        assert response.status == 201

    async def found():
        # Statistics of the broker lag.
        checks = await examined(cared_for)
        return f"rabbitmq-queue lifeboat.mirror.{QUEUE}" in failures(checks) and checks

    checks = await eventually(found, 60)
    assert any("delivery-limit" in each.sentence for each in checks if each.grade == "fail")


async def test_the_command_tells_in_one_document(cared_for):
    code, document, errors = await cared_for.lifeboat("doctor")
    assert (code, document["status"]) == (0, "ok"), errors
    assert {"name", "status", "detail"} == set(document["checks"][0])
    await cared_for.delete_queue()
    code, document, _ = await cared_for.lifeboat("doctor")
    assert (code, document["status"]) == (1, "fail")
