"""Declaring on a real broker: once or often, beside another env, over other arguments."""

import asyncio

import pytest

from app.amqp.connection import open_channel, open_connection
from app.amqp.declare import declare, declare_queue, ready_count
from app.amqp.management import Management
from app.amqp.topology import MIRROR_ARGUMENTS, QUARANTINE, TASKS, mirror_queue
from app.errors import EnvMismatch, TopologyMismatch, Unavailable
from mirror.topology import Topology
from tests.integration.amqp.material import QUEUE


async def declare_by_hand(connection, name, arguments):
    async with open_channel(connection) as channel:
        await channel.declare_queue(name, durable=True, arguments=arguments)


async def test_declaring_again_changes_nothing(connection, declared, management):
    await declare(connection, "test")
    await declare_queue(connection, QUEUE)
    for name in (mirror_queue(QUEUE), QUARANTINE):
        await management.verify_queue(name)


async def test_two_processes_may_declare_at_once(rabbitmq_url):
    connections = [await open_connection(rabbitmq_url, "test") for _ in range(4)]
    await asyncio.gather(*(declare(each, "test") for each in connections))
    await asyncio.gather(*(declare_queue(each, QUEUE) for each in connections))
    await asyncio.gather(*(each.close() for each in connections))


async def test_another_envs_vhost_is_left_alone(connection, declared):
    with pytest.raises(EnvMismatch, match="LIFEBOAT_ENV=other"):
        await declare(connection, "other")
    async with open_channel(connection) as channel:
        with pytest.raises(Exception, match="NOT_FOUND"):
            await channel.get_exchange("lifeboat.env.other", ensure=True)


async def test_a_vhost_with_only_our_marker_is_ours(connection):
    async with open_channel(connection) as channel:
        await channel.declare_exchange("lifeboat.env.test", "fanout", durable=True)
    await declare(connection, "test")


async def test_tasks_without_any_marker_are_another_envs(connection):
    async with open_channel(connection) as channel:
        await channel.declare_exchange(TASKS, "topic", durable=True)
    with pytest.raises(EnvMismatch):
        await declare(connection, "test")


async def test_an_exchange_of_another_kind_is_named(connection):
    async with open_channel(connection) as channel:
        await channel.declare_exchange("lifeboat.env.test", "fanout", durable=True)
        await channel.declare_exchange(TASKS, "direct", durable=True)
    with pytest.raises(TopologyMismatch, match=TASKS):
        await declare(connection, "test")


@pytest.mark.parametrize("with_management", [False, True])
@pytest.mark.parametrize("argument", sorted(MIRROR_ARGUMENTS.keys() - {"x-queue-type"}))
async def test_a_missing_argument_stops_with_its_name(
    connection, management, argument, with_management
):
    await declare(connection, "test")
    arguments = dict(MIRROR_ARGUMENTS)
    del arguments[argument]
    await declare_by_hand(connection, mirror_queue(QUEUE), arguments)
    with pytest.raises(TopologyMismatch) as caught:
        await declare_queue(connection, QUEUE, management if with_management else None)
    assert mirror_queue(QUEUE) in str(caught.value)
    assert f"{argument} is none, not {MIRROR_ARGUMENTS[argument]}" in str(caught.value)


@pytest.mark.parametrize("with_management", [False, True])
async def test_a_classic_queue_is_refused(connection, management, with_management):
    await declare(connection, "test")
    await declare_by_hand(connection, mirror_queue(QUEUE), {"x-queue-type": "classic"})
    # The broker names but one difference, the management API all of them.
    named = "x-queue-type is classic, not quorum" if with_management else "lifeboat.mirror.mail"
    with pytest.raises(TopologyMismatch, match=named):
        await declare_queue(connection, QUEUE, management if with_management else None)


async def test_only_the_read_back_sees_a_misspelt_argument(connection, management):
    await declare(connection, "test")
    await declare_by_hand(
        connection, mirror_queue(QUEUE), {**MIRROR_ARGUMENTS, "x-delivery-limt": 5}
    )
    await declare_queue(connection, QUEUE)
    with pytest.raises(TopologyMismatch, match="x-delivery-limt is 5, not none"):
        await management.verify_queue(mirror_queue(QUEUE))


async def test_without_the_management_api_the_brokers_words_do(connection, rabbitmq_url):
    await declare(connection, "test")
    await declare_by_hand(
        connection, mirror_queue(QUEUE), {**MIRROR_ARGUMENTS, "x-delivery-limit": 20}
    )
    away = Management("http://guest:guest@127.0.0.1:1", "/", timeout_ms=500)
    with pytest.raises(TopologyMismatch, match="x-delivery-limit is 20, not 1000000"):
        await declare_queue(connection, QUEUE, away)
    await away.close()


async def test_the_mirror_reads_a_queue_back_as_soon_as_it_can(
    connection, management, rabbitmq_url, unused_tcp_port
):
    """Once is enough, but it must have been read."""
    await declare(connection, "test")
    await declare_by_hand(
        connection, mirror_queue(QUEUE), {**MIRROR_ARGUMENTS, "x-delivery-limt": 5}
    )
    away = Management(f"http://guest:guest@127.0.0.1:{unused_tcp_port}", "/", timeout_ms=500)
    topology = Topology(rabbitmq_url, "test", away)
    await topology.declare(QUEUE)
    topology._management = management
    with pytest.raises(TopologyMismatch, match="x-delivery-limt is 5, not none"):
        await topology.declare(QUEUE)
    await topology.close()
    await away.close()


async def test_a_queue_that_is_missing_has_nothing_ready(connection):
    assert await ready_count(connection, "nobody") == 0


async def test_the_management_api(management, declared, rabbitmq_management_url):
    facts = await management.queue(mirror_queue(QUEUE))
    assert facts is not None
    assert len(facts.members) >= 1
    assert facts.leader in facts.members
    assert {each.name for each in await management.queues()} == {mirror_queue(QUEUE), QUARANTINE}
    assert await management.queue("nobody") is None
    with pytest.raises(TopologyMismatch, match="missing"):
        await management.verify_queue("nobody")
    refused = Management(rabbitmq_management_url.replace("guest:guest", "guest:wrong"), "/")
    with pytest.raises(Unavailable, match="401") as caught:
        await refused.queue("q")
    assert "wrong" not in str(caught.value)
    await refused.close()


async def test_a_vhost_that_is_missing_is_said(rabbitmq_url):
    with pytest.raises(Unavailable, match="nowhere"):
        await open_connection(rabbitmq_url.rsplit("/", 1)[0] + "/nowhere", "test")


async def test_a_wrong_password_is_said_without_saying_it(rabbitmq_url):
    with pytest.raises(Unavailable, match="ACCESS_REFUSED") as caught:
        await open_connection(rabbitmq_url.replace(":guest@", ":secret@"), "test")
    assert "secret" not in str(caught.value)


async def test_a_broker_that_is_not_there_is_said(unused_tcp_port):
    with pytest.raises(Unavailable, match="Connect call failed"):
        await open_connection(f"amqp://guest:guest@127.0.0.1:{unused_tcp_port}/", "test")


async def test_a_broker_that_says_nothing_costs_the_deadline(proxy):
    proxy.hold_answers()
    with pytest.raises(Unavailable, match="no answer in time"):
        await open_connection(proxy.url, "test", timeout_ms=300)
