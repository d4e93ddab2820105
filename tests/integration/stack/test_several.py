"""Servers of which there is more than one: a Redis with a replica, a RabbitMQ of three nodes."""

import asyncio

import pytest
from redis.asyncio import Redis

from app.stack.process import StackError
from app.stack.replica import RedisReplica
from app.stack.servers import RedisServer
from app.stack.stack import VHOST, Stack


@pytest.fixture
async def pair(tmp_path):
    primary = RedisServer(tmp_path / "primary")
    replica = RedisReplica(tmp_path / "replica", primary)
    await asyncio.gather(primary.start(), replica.start())
    yield primary, replica
    primary.kill9()
    replica.kill9()


async def read(server, key):
    async with Redis.from_url(server.url, decode_responses=True) as client:
        return await client.get(key)


async def write(server, key, value):
    async with Redis.from_url(server.url) as client:
        await client.set(key, value)


async def test_a_replica_that_was_behind_answers_at_the_address_of_the_dead_primary(pair):
    primary, replica = pair
    address = primary.url
    await write(primary, "a", "before")
    await replica.follow()
    await replica.cut()
    await write(primary, "a", "behind its back")
    assert await read(replica, "a") == "before"
    with pytest.raises(StackError, match="primary lives"):
        await replica.take_over()
    primary.kill9()
    await replica.take_over()
    assert replica.url == address
    assert await read(replica, "a") == "before"
    await write(replica, "a", "after")
    assert await read(replica, "a") == "after"


def test_a_cluster_is_named_by_all_its_addresses(tmp_path):
    stack = Stack(tmp_path, clustered=True, mongo=False)
    named = stack.environment()
    for node in stack.brokers:
        assert node.vhost_url(VHOST) in named["LIFEBOAT_RABBITMQ_URL"].split(",")
        assert node.management_url in named["LIFEBOAT_RABBITMQ_MANAGEMENT_URL"].split(",")
    assert len(stack.brokers) == 3
    assert stack.rabbitmq is stack.brokers[0]
    assert stack.replica is None


def test_nodes_of_a_cluster_share_nothing_but_cookie_and_epmd(tmp_path):
    stack = Stack(tmp_path, clustered=True, mongo=False)
    ports = {port for each in stack.brokers for port in (each.port, each.management_port)}
    assert len(ports) == 6
    assert len({each.data for each in stack.brokers}) == 3
    assert len({each.name for each in stack.servers}) == 4
    assert {each.epmd for each in stack.brokers} == {stack.cluster.epmd}
    configuration = (tmp_path / "rabbitmq" / "node-2" / "rabbitmq.conf").read_text()
    assert "pause_minority" in configuration
    for number, node in enumerate(stack.brokers, start=1):
        assert f"classic_config.nodes.{number} = {node.node_name}\n" in configuration
