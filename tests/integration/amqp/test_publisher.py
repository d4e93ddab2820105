"""Both publishers against a real broker, one suite: routed, returned, refused, unknown."""

import asyncio
import time
from itertools import pairwise

import pytest
from aiormq.abc import ChannelFrame
from pamqp.commands import Connection

from app.amqp.connection import open_channel
from app.amqp.message import Copy, Publication, fence_publication, read_copy
from app.amqp.topology import TASKS, mirror_queue
from mirror.publisher import PublishOutcome, open_publisher
from mirror.publisher.batched import BatchedPublisher
from tests.integration.amqp.material import ORIGIN, QUEUE, copies
from tests.support.eventually import eventually
from tests.support.limits import limited

CONFIRMED, RETURNED, REFUSED, UNKNOWN = PublishOutcome
IN_TIME_MS = 20_000
AT_ONCE_S = 8
"""Before any deadline but the call's own would have passed, on a busy machine."""


@pytest.fixture(params=["batched", "plain"])
async def kind(request):
    return request.param


@pytest.fixture
async def publisher(kind, rabbitmq_url, declared):
    publisher = open_publisher(kind, rabbitmq_url, "mirror")
    yield publisher
    await publisher.close()


@pytest.fixture
async def proxied(kind, proxy, declared):
    """A publisher that reaches the broker through ``proxy`` and has done so."""
    publisher = open_publisher(kind, proxy.url, "mirror")
    assert await publisher.publish([unroutable()], IN_TIME_MS) == [RETURNED]
    yield publisher
    await publisher.close()


def unroutable():
    return Publication(TASKS, "nobody.acme.x", b"{}", {}, "x", 0)


async def take(connection, n, name=None):
    """The next ``n`` messages of a queue, taken off it."""
    async with open_channel(connection) as channel:
        queue = await channel.get_queue(name or mirror_queue(QUEUE), ensure=False)
        return [await queue.get(no_ack=True) for _ in range(n)]


def sent_headers(message):
    """Without what a quorum queue adds at delivery."""
    return {name: value for name, value in message.headers.items() if name != "x-delivery-count"}


async def test_a_batch_is_confirmed_and_in_the_queue(publisher, declared):
    assert await publisher.publish(copies(300), IN_TIME_MS) == [CONFIRMED] * 300
    assert await declared() == 300
    assert publisher.connected
    assert not publisher.blocked


async def test_nothing_to_publish(publisher):
    assert await publisher.publish([], IN_TIME_MS) == []


async def test_copies_come_out_as_they_went_in(publisher, connection):
    sizes = (0, 1, 100, 131_000, 131_064, 131_065, 400_000)
    sent = [copies(1, size=size, first=i)[0] for i, size in enumerate(sizes)]
    assert await publisher.publish(sent, IN_TIME_MS) == [CONFIRMED] * len(sent)
    taken = await take(connection, len(sent))
    for publication, message in zip(sent, taken, strict=True):
        assert message.body == publication.body
        assert sent_headers(message) == dict(publication.headers)
        assert message.routing_key == "mail.acme.http.deliver"
        assert message.exchange == "lifeboat.tasks"
        assert message.correlation_id == publication.correlation_id
        assert message.type == "http.deliver"
        assert message.app_id == "lifeboat"
        assert message.content_type == "application/vnd.lifeboat.envelope+json"
        assert message.delivery_mode == 2
        assert message.timestamp.timestamp() == publication.timestamp_s
        copy = read_copy(message.headers, message.body, message.type)
        assert isinstance(copy, Copy)
        assert (copy.envelope.raw, copy.origin) == (publication.body, ORIGIN)
    assert len({message.message_id for message in taken}) == len(sent)


async def test_the_two_paths_write_the_same_message(connection, declared, rabbitmq_url):
    seen = []
    for kind in ("batched", "plain"):
        publisher = open_publisher(kind, rabbitmq_url, "mirror")
        assert await publisher.publish(copies(1), IN_TIME_MS) == [CONFIRMED]
        (message,) = await take(connection, 1)
        info = message.info()
        seen.append(
            {k: v for k, v in info.items() if k not in {"message_id", "delivery_tag"}}
            | {"body": message.body}
        )
        await publisher.close()
    assert seen[0] == seen[1]


async def test_publishing_the_same_again_takes_a_fresh_message_id(publisher, connection):
    batch = copies(1)
    for _ in range(2):
        await publisher.publish([*batch, *batch], IN_TIME_MS)
    assert len({message.message_id for message in await take(connection, 4)}) == 4


async def test_a_batch_keeps_its_order(publisher, connection):
    await publisher.publish(copies(200), IN_TIME_MS)
    ids = [message.headers["x-task-id"] for message in await take(connection, 200)]
    assert ids == [f"task-{i}" for i in range(200)]


async def test_a_fence_goes_straight_into_the_queue(publisher, connection):
    assert await publisher.publish([fence_publication(QUEUE, "run-1", 7)], IN_TIME_MS) == [
        CONFIRMED
    ]
    (message,) = await take(connection, 1)
    assert (message.type, message.body, sent_headers(message)) == (
        "lifeboat.fence",
        b"",
        {"x-fence": "run-1"},
    )


async def test_what_no_queue_takes_is_returned(publisher, declared):
    batch = copies(5)
    # One publication in two places: only fresh message ids tell the two returns apart.
    batch[1] = batch[3] = unroutable()
    assert await publisher.publish(batch, IN_TIME_MS) == [
        CONFIRMED,
        RETURNED,
        CONFIRMED,
        RETURNED,
        CONFIRMED,
    ]
    assert await declared() == 3


async def test_a_fence_for_no_queue_is_returned(publisher):
    assert await publisher.publish([fence_publication("nobody", "r", 7)], IN_TIME_MS) == [RETURNED]


async def test_calls_in_flight_together_get_their_own_outcomes(publisher, declared):
    outcomes = await asyncio.gather(
        *(
            publisher.publish(copies(50) if i % 3 else [unroutable()] * 50, IN_TIME_MS)
            for i in range(12)
        )
    )
    for i, each in enumerate(outcomes):
        assert each == [CONFIRMED if i % 3 else RETURNED] * 50
    assert await declared() == 8 * 50


async def test_a_full_queue_refuses(publisher, connection):
    async with open_channel(connection) as channel:
        queue = await channel.declare_queue(
            "tiny",
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-overflow": "reject-publish",
                "x-max-length": 10,
            },
        )
        await queue.bind(TASKS, routing_key="tiny.#")
    batch = copies(300, queue="tiny")
    outcomes = []
    for start in range(0, 300, 20):
        outcomes += await publisher.publish(batch[start : start + 20], IN_TIME_MS)
    assert set(outcomes) == {CONFIRMED, REFUSED}
    assert outcomes[0] is CONFIRMED
    assert outcomes[-1] is REFUSED
    async with open_channel(connection) as channel:
        tiny = await channel.declare_queue("tiny", passive=True)
        assert tiny.declaration_result.message_count == outcomes.count(CONFIRMED)


async def test_what_was_refused_is_taken_once_a_policy_gives_the_queue_room(
    proxied, proxy, rabbitmq_url, rabbitmq_management_url
):
    seen = []

    async def has(outcome):
        batches = await asyncio.gather(*(proxied.publish(copies(2), IN_TIME_MS) for _ in range(4)))
        seen.extend(each for batch in batches for each in batch)
        return outcome in seen[-8:]

    async with limited(rabbitmq_url, rabbitmq_management_url):
        await eventually(lambda: has(REFUSED))
    await eventually(lambda: has(CONFIRMED), within_s=30, every_s=0.1)
    # On another channel: the connection and what is in flight on it stay.
    assert UNKNOWN not in seen
    assert proxy.opened == 1


async def test_a_missing_exchange_closes_the_channel_and_a_new_one_is_opened(publisher, declared):
    lost = Publication("nowhere", "x", b"{}", {}, "x", 0)
    assert await publisher.publish([lost], IN_TIME_MS) == [UNKNOWN]
    assert await publisher.publish(copies(2), IN_TIME_MS) == [CONFIRMED] * 2


async def test_a_lost_connection_leaves_the_unconfirmed_unknown(proxied, proxy, declared):
    proxy.hold_answers()
    publishing = [asyncio.create_task(proxied.publish(copies(20), 30_000)) for _ in range(2)]
    await eventually(lambda: at_least(declared, 40))
    started = time.monotonic()
    proxy.cut()
    assert await asyncio.gather(*publishing) == [[UNKNOWN] * 20] * 2
    assert time.monotonic() - started < AT_ONCE_S
    proxy.flow()
    assert await proxied.publish(copies(3), IN_TIME_MS) == [CONFIRMED] * 3
    # Unknown was not failed: all of them are there.
    assert await declared() == 43


async def at_least(declared, n):
    return await declared() >= n


async def test_an_operator_closes_the_connection(publisher, force_close):
    assert await publisher.publish(copies(1), IN_TIME_MS) == [CONFIRMED]
    await force_close("mirror")
    await eventually(lambda: not publisher.connected)
    assert await publisher.publish(copies(1), IN_TIME_MS) == [CONFIRMED]


@pytest.mark.parametrize("hold", ["hold_requests", "hold_answers"])
async def test_a_silent_broker_costs_the_deadline_and_no_more(proxied, proxy, hold, declared):
    getattr(proxy, hold)()
    for batch in (copies(3), copies(40, size=200_000)):
        started = time.monotonic()
        assert await proxied.publish(batch, 400) == [UNKNOWN] * len(batch)
        assert 0.3 < time.monotonic() - started < AT_ONCE_S
    proxy.flow()
    assert await proxied.publish(copies(3), IN_TIME_MS) == [CONFIRMED] * 3
    assert proxy.opened == 1


async def test_an_answer_after_the_deadline_changes_nothing(proxied, proxy, declared):
    proxy.hold_answers()
    batch = [*copies(2), unroutable()]
    late = await proxied.publish(batch, 300)
    assert late == [UNKNOWN] * 3
    proxy.flow()
    assert await proxied.publish(batch, IN_TIME_MS) == [CONFIRMED, CONFIRMED, RETURNED]
    assert late == [UNKNOWN] * 3
    assert await declared() == 4


async def test_a_cancelled_call_leaves_the_publisher_whole(proxied, proxy):
    proxy.hold_answers()
    publishing = asyncio.create_task(proxied.publish(copies(20), 30_000))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    proxy.flow()
    assert await proxied.publish(copies(3), IN_TIME_MS) == [CONFIRMED] * 3


async def test_a_broker_that_is_away_costs_the_deadline(kind, unused_tcp_port):
    publisher = open_publisher(kind, f"amqp://guest:guest@127.0.0.1:{unused_tcp_port}/", "mirror")
    started = time.monotonic()
    assert await publisher.publish(copies(2), 300) == [UNKNOWN] * 2
    assert time.monotonic() - started < AT_ONCE_S
    assert not publisher.connected
    assert not publisher.blocked
    await publisher.close()


async def test_it_waits_for_a_broker_that_comes_in_time(kind, proxy, declared):
    proxy.hold_requests()
    publisher = open_publisher(kind, proxy.url, "mirror")
    publishing = asyncio.create_task(publisher.publish(copies(2), IN_TIME_MS))
    await eventually(lambda: proxy.opened)
    assert not publishing.done()
    proxy.flow()
    assert await publishing == [CONFIRMED] * 2
    await publisher.close()


def method(frame):
    return ChannelFrame.marshall(0, [frame]).payload


async def test_nothing_is_written_while_the_broker_blocks(proxied, proxy, declared):
    proxy.say(method(Connection.Blocked("low on disk")))
    await eventually(lambda: proxied.blocked)
    started = time.monotonic()
    assert await proxied.publish(copies(2), 300) == [UNKNOWN] * 2
    assert time.monotonic() - started < AT_ONCE_S
    assert await declared() == 0
    waiting = asyncio.create_task(proxied.publish(copies(3), IN_TIME_MS))
    await asyncio.sleep(0)
    proxy.say(method(Connection.Unblocked()))
    assert await waiting == [CONFIRMED] * 3
    assert not proxied.blocked
    assert await declared() == 3


async def test_a_connection_lost_while_blocked_is_noticed(proxied, proxy):
    proxy.say(method(Connection.Blocked("low on disk")))
    await eventually(lambda: proxied.blocked)
    waiting = asyncio.create_task(proxied.publish(copies(3), IN_TIME_MS))
    await asyncio.sleep(0)
    proxy.cut()
    assert await waiting in ([CONFIRMED] * 3, [UNKNOWN] * 3)
    assert await proxied.publish(copies(1), IN_TIME_MS) == [CONFIRMED]
    assert not proxied.blocked


async def test_what_is_on_the_wire_unanswered_is_bounded(proxy, declared):
    publisher = BatchedPublisher(proxy.url, "mirror", unsettled_max=10)
    assert await publisher.publish(copies(25), IN_TIME_MS) == [CONFIRMED] * 25
    proxy.hold_answers()
    for _ in range(3):
        assert await publisher.publish(copies(25), 200) == [UNKNOWN] * 25
    await eventually(lambda: at_least(declared, 35))
    assert await declared() == 35
    proxy.flow()
    assert await publisher.publish(copies(25), IN_TIME_MS) == [CONFIRMED] * 25
    await publisher.close()


async def test_the_attributes_of_aiormq_that_the_batched_path_uses(connection):
    async with open_channel(connection) as channel:
        seam = await channel.get_underlay_channel()
        assert seam.number == 1
        assert seam.delivery_tag == 0
        assert seam.max_content_size > 4_000
        assert seam.confirmations == {}
        assert seam.message_id_delivery_tag == {}
        assert seam.write_queue is seam.connection.write_queue
        assert asyncio.iscoroutinefunction(seam._on_confirm_frame)
        assert seam._close_exception is None
        tags = []
        for _ in range(3):
            await seam.basic_publish(b"", exchange="amq.fanout")
            tags.append(seam.delivery_tag)
        assert all(b == a + 1 for a, b in pairwise([0, *tags]))
        async with seam.lock:
            pass
        future = seam.create_future()
    with pytest.raises((Exception, asyncio.CancelledError)):
        await future
