"""``python -m mirror``: how it starts, finds queues, is asked for its health, and stops."""

import signal

import aiohttp
import pytest

from app.amqp.connection import open_channel
from app.amqp.declare import declare
from app.amqp.topology import MIRROR_ARGUMENTS, mirror_queue
from app.broker.generation import attach
from app.stack.rabbitmq import RabbitMQServer
from tests.support.envelopes import QUEUE, TENANT
from tests.support.eventually import eventually


@pytest.fixture
async def queue_in_ledger(ledger):
    await ledger.ensure_queue(TENANT, QUEUE, 200)


def ended(process):
    return process.exit_code is not None


def says(process, words):
    return words in process.log.read_text()


async def get(port, path):
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            return answer.status, await answer.text()
    except aiohttp.ClientError:
        return None


async def test_a_queue_that_is_added_is_found_and_mirrored(
    start_process, world, ledger, connection, rabbitmq_management_url, unused_tcp_port, env_name
):
    process = start_process(
        MIRROR_PORT=str(unused_tcp_port), RABBITMQ_MANAGEMENT_URL=rabbitmq_management_url
    )

    async def ready():
        answer = await get(unused_tcp_port, "/readyz")
        return answer and answer[0] == 200

    await eventually(ready, within_s=60)
    await ledger.ensure_queue(TENANT, QUEUE, 200)
    await world.submit("a")
    await eventually(lambda: world.all_marked("a"))
    assert await world.taken_ids() == ["a"]
    figure = f'lifeboat_mirror_confirmed_total{{queue="{QUEUE}",tenant="{TENANT}"}} 1.0'

    async def counted():
        return figure in (await get(unused_tcp_port, "/metrics"))[1]

    await eventually(counted)
    assert not says(process, "passively")
    assert await process.stop() == 0
    assert not await world.raw.exists(world.keys.mirror_lease)


async def test_it_says_once_what_is_not_checked_and_what_is_misspelt(
    start_process, world, queue_in_ledger
):
    process = start_process(MIRROR_LEASE="5000")
    await world.submit("a")
    await eventually(lambda: world.all_marked("a"), within_s=60)
    said = process.log.read_text()
    # Without the management API.
    assert said.count("passively") == 1
    assert said.count("LIFEBOAT_MIRROR_LEASE (did you mean LIFEBOAT_MIRROR_LEASE_MS?)") == 1


@pytest.mark.parametrize(
    ("argument", "value", "with_management"),
    [("x-delivery-limit", 20, False), ("x-delivery-limt", 5, True)],
)
async def test_a_queue_with_other_arguments_stops_it_with_a_sentence(
    start_process,
    queue_in_ledger,
    connection,
    env_name,
    rabbitmq_management_url,
    argument,
    value,
    with_management,
):
    await declare(connection, env_name)
    async with open_channel(connection) as channel:
        arguments = {**MIRROR_ARGUMENTS, argument: value}
        await channel.declare_queue(mirror_queue(QUEUE), durable=True, arguments=arguments)
    process = start_process(
        RABBITMQ_MANAGEMENT_URL=rabbitmq_management_url if with_management else ""
    )
    await eventually(lambda: ended(process), within_s=60)
    assert process.exit_code == 1
    assert f"{argument} is {value}, not" in process.tail()
    assert "Traceback" not in process.log.read_text()


async def test_the_vhost_of_another_env_stops_it(start_process, connection):
    await declare(connection, "another")
    process = start_process()
    await eventually(lambda: ended(process), within_s=60)
    assert process.exit_code == 1
    assert "holds the tasks of another env" in process.tail()


async def test_another_ledger_than_redis_remembers_stops_it(start_process, world, queue_in_ledger):
    await attach(world.redis, world.keys, "another-ledger")
    process = start_process()
    await eventually(lambda: ended(process), within_s=60)
    assert process.exit_code == 1
    assert "another ledger (another-ledger)" in process.tail()


async def test_a_queue_it_was_told_to_leave_alone_is_left_alone(
    start_process, world, ledger, queue_in_ledger
):
    await ledger.ensure_queue(TENANT, "other", 200)
    process = start_process()
    await world.submit("a")
    await eventually(lambda: world.all_marked("a"), within_s=60)
    assert says(process, "Keeping the journal of acme/mail.")
    await eventually(lambda: says(process, "Keeping the journal of acme/other."))


async def test_it_cannot_do_without_rabbitmq_or_a_ledger(start_process):
    without_rabbitmq = start_process(RABBITMQ_URL="")
    without_ledger = start_process(SQLITE_PATH="")
    for process, words in (
        (without_rabbitmq, "set LIFEBOAT_RABBITMQ_URL"),
        (without_ledger, "No ledger: set LIFEBOAT_MONGO_URL"),
    ):
        await eventually(lambda process=process: ended(process), within_s=60)
        assert process.exit_code == 2
        assert words in process.tail()


async def test_a_server_that_is_away_at_the_start_is_waited_for(start_process, unused_tcp_port):
    process = start_process(RABBITMQ_URL=f"amqp://guest:secret@127.0.0.1:{unused_tcp_port}/v")
    await eventually(lambda: says(process, "Waiting for RabbitMQ at 127.0.0.1:"), within_s=60)
    assert not says(process, "secret")
    assert await process.stop() == 0


async def test_a_second_mirror_takes_over_from_one_that_was_killed(
    start_process, world, queue_in_ledger
):
    first = start_process()
    await world.submit("a")
    await eventually(lambda: world.all_marked("a"), within_s=60)
    second = start_process()
    first.kill9()
    await world.submit("b")
    await eventually(lambda: world.all_marked("b"), within_s=60)
    assert second.running
    assert await world.taken_ids() == ["a", "b"]


async def test_killed_in_the_middle_it_loses_nothing(start_process, world, queue_in_ledger):
    first = start_process()
    ids = [f"t{i}" for i in range(5_000)]
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"), within_s=60)
    await world.submit(*ids)
    await eventually(lambda: some_copies(world))
    first.kill9()
    marked = [each for each, mark in zip(ids, await world.marks(*ids), strict=True) if mark]
    start_process()
    await eventually(lambda: world.all_marked(*ids), within_s=60)
    taken = await world.taken_ids()
    assert set(taken) == {"first", *ids}
    assert set(marked) <= set(taken)


async def some_copies(world):
    return await world.copies_ready() > 1


async def test_a_sigint_stops_it_too(start_process, world, queue_in_ledger):
    process = start_process()
    await world.submit("a")
    await eventually(lambda: world.all_marked("a"), within_s=60)
    process._popen.send_signal(signal.SIGINT)
    await eventually(lambda: ended(process))
    assert process.exit_code == 0


@pytest.fixture
async def private_rabbitmq(tmp_path):
    server = RabbitMQServer(tmp_path / "rabbitmq")
    await server.start()
    yield server
    server.kill9()
    server.epmd.kill9()


def registered(server, queue):
    """RabbitMQ 3.10.8 writes the names of its quorum queues down some seconds after the declare.

    Killed before, it starts the queue without a leader: nothing is ever confirmed.
    """
    return any(queue in file.read_bytes() for file in server.data.rglob("names.dets"))


async def test_rabbitmq_killed_under_load_loses_nothing_and_catches_up(
    start_mirror, world, private_rabbitmq
):
    mirror = start_mirror(rabbitmq_url=await private_rabbitmq.create_vhost("killed"))
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    await eventually(lambda: registered(private_rabbitmq, b"killed_lifeboat.mirror.mail"))
    ids = [f"t{i}" for i in range(3_000)]
    await world.submit(*ids[:1_500])
    await eventually(lambda: (mirror.total("mirror_confirmed_total") or 0) > 1)
    private_rabbitmq.kill9()
    await world.submit(*ids[1_500:])
    confirmed_before = await world.marks(*ids)
    assert not all(confirmed_before)
    await private_rabbitmq.start()
    await eventually(lambda: world.all_marked(*ids), within_s=60)
    assert await world.journal_ids() == []
