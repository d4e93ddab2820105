"""Holding copies on a real broker: bounded, acked once, given back, never silently renewed."""

import asyncio
import time
from contextlib import suppress

import pytest
from aio_pika import Message

from app.amqp.connection import open_channel, underlay
from app.amqp.message import Copy, Fence, fence_publication, read_copy
from app.amqp.topology import mirror_queue
from app.errors import Unavailable
from mirror.publisher import PublishOutcome, open_publisher
from rehydrator.source import BATCH_BYTES_MAX, WAITING_BYTES_MAX, CopiesLost, CopySource
from tests.integration.amqp.material import QUEUE, copies
from tests.support.eventually import eventually


@pytest.fixture
async def publish(rabbitmq_url, declared):
    publisher = open_publisher("batched", rabbitmq_url, "mirror")

    async def publish(batch):
        outcomes = await publisher.publish(batch, 20_000)
        assert set(outcomes) == {PublishOutcome.CONFIRMED}

    yield publish
    await publisher.close()


@pytest.fixture(params=["sink", "plain"])
async def open_source(request, rabbitmq_url, declared):
    opened = []

    async def open_source(url=rabbitmq_url, prefetch=100, first=None):
        kind = request.param
        opened.append(await CopySource.open(url, QUEUE, prefetch=prefetch, first=first, kind=kind))
        return opened[-1]

    yield open_source
    for source in opened:
        await source.hand_back()


async def take(source, n):
    """Exactly ``n`` deliveries."""
    taken = []
    while len(taken) < n:
        batch = await source.batch(n - len(taken), 20_000)
        assert batch
        taken += batch
    return taken


def ids(deliveries):
    return [each.headers["x-task-id"] for each in deliveries]


async def ready_is(declared, n):
    return await declared() == n


async def test_copies_arrive_in_order_and_whole(publish, open_source):
    sent = copies(50, size=300_000)
    await publish(sent)
    source = await open_source()
    got = await take(source, 50)
    assert [each.body for each in got] == [each.body for each in sent]
    assert [each.message_id for each in got] != [None] * 50
    for each in got:
        assert type(each.body) is bytes
        assert isinstance(read_copy(each.headers, each.body, each.type), Copy)
        assert not each.redelivered


async def test_a_fence_arrives(publish, open_source):
    await publish([fence_publication(QUEUE, "run-1", 7)])
    source = await open_source()
    (got,) = await take(source, 1)
    assert read_copy(got.headers, got.body, got.type) == Fence("run-1")


async def test_an_empty_queue_costs_the_wait(open_source):
    source = await open_source()
    started = time.monotonic()
    assert await source.batch(10, 200) == []
    assert 0.15 < time.monotonic() - started < 10
    assert await source.batch(10, 0) == []


async def test_a_batch_does_not_wait_to_be_full(publish, open_source):
    source = await open_source()
    waiting = asyncio.create_task(source.batch(1_000, 20_000))
    await publish(copies(1))
    assert len(await waiting) == 1


async def test_no_more_is_held_than_the_window(publish, open_source, declared):
    await publish(copies(50))
    source = await open_source(prefetch=10)
    got = await take(source, 10)
    assert await source.batch(10, 200) == []
    assert (source.held, source.window) == (10, 10)
    await source.grow()
    got += await take(source, 10)
    assert (source.held, source.window) == (20, 20)
    assert await declared() == 30
    assert await source.ack(got[:5]) == 5
    await take(source, 5)
    assert source.held == 20
    assert sorted(ids(got)) == sorted(f"task-{i}" for i in range(20))


@pytest.mark.parametrize(("first", "window"), [(3, 3), (10, 10), (2_000, 10)])
async def test_the_first_channel_may_hold_fewer(publish, open_source, declared, first, window):
    await publish(copies(30))
    source = await open_source(prefetch=10, first=first)
    await take(source, window)
    assert (source.held, source.window) == (window, window)
    await source.grow()
    await take(source, 10)
    assert await source.catch_up() == 0
    assert (source.held, source.window) == (window + 10, window + 10)
    assert await declared() == 20 - window


@pytest.mark.parametrize("prefetch", [0, -1, 60_001])
async def test_a_window_the_broker_would_misread_is_refused(rabbitmq_url, prefetch):
    with pytest.raises(ValueError, match="prefetch"):
        await CopySource.open(rabbitmq_url, QUEUE, prefetch=prefetch)


async def test_acked_copies_are_gone_and_the_others_are_not(publish, open_source, declared):
    await publish(copies(60))
    source = await open_source()
    await source.grow()
    got = await take(source, 60)
    gone = got[:20] + got[30:40] + got[59:]
    assert await source.ack(gone) == 31
    assert source.held == 29
    assert await source.hand_back()
    assert await declared() == 29
    left = await take(await open_source(), 29)
    assert set(ids(left)) == set(ids(got)) - set(ids(gone))
    assert all(each.redelivered for each in left)


async def test_acking_twice_is_harmless(publish, open_source, declared):
    await publish(copies(10))
    source = await open_source()
    got = await take(source, 10)
    assert await source.ack([*got[:4], *got[:4]]) == 4
    assert await source.ack(got[:4]) == 0
    both = await asyncio.gather(source.ack(got[2:8]), source.ack(got[4:10]))
    assert both == [4, 2]
    assert await source.batch(1, 300) == []
    assert not source.lost.is_set()
    assert await declared() == 0


async def test_handing_back_gives_everything_back(publish, open_source, declared):
    await publish(copies(40))
    source = await open_source(prefetch=15)
    await source.grow()
    got = await take(source, 20)
    assert await source.hand_back()
    assert await declared() == 40
    assert source.held == 0
    assert not source.lost.is_set()
    assert await source.ack(got) == 0
    with pytest.raises(CopiesLost, match="handed back"):
        await source.batch(1, 0)
    assert not await source.hand_back()


async def test_a_fence_published_after_the_hand_back_comes_last(publish, open_source):
    await publish(copies(30))
    source = await open_source()
    await take(source, 30)
    assert await source.hand_back()
    await publish([fence_publication(QUEUE, "run-1", 7)])
    got = await take(await open_source(), 31)
    assert [each.type for each in got].index("lifeboat.fence") == 30


async def assert_lost(source, got, *, by_operator):
    async with asyncio.timeout(60):
        await source.lost.wait()
    assert source.held == 0
    assert await source.ack(got) == 0
    with pytest.raises(CopiesLost) as caught:
        await source.batch(10, 5_000)
    assert caught.value.by_operator is by_operator
    with pytest.raises(CopiesLost):
        await source.grow()


async def test_a_lost_connection_is_told_and_acks_after_it_are_harmless(
    publish, open_source, proxy, declared
):
    await publish(copies(40))
    source = await open_source(proxy.url, prefetch=30)
    await source.grow()
    got = await take(source, 20)
    proxy.cut()
    await assert_lost(source, got, by_operator=False)
    await eventually(lambda: ready_is(declared, 40))
    again = await take(await open_source(), 40)
    # Tags of the lost connection mean nothing to the new one.
    assert await source.ack(again[:0]) == 0
    assert set(ids(again)) == {f"task-{i}" for i in range(40)}


async def test_a_waiting_batch_learns_of_the_loss_at_once(open_source, proxy):
    source = await open_source(proxy.url)
    waiting = asyncio.create_task(source.batch(1, 30_000))
    await asyncio.sleep(0)
    proxy.cut()
    with pytest.raises(CopiesLost):
        async with asyncio.timeout(20):
            await waiting


@pytest.mark.parametrize("reason", [None, "looking into it"])
async def test_an_operators_close_is_told_apart(
    publish, open_source, force_close, declared, reason
):
    await publish(copies(10))
    source = await open_source()
    got = await take(source, 10)
    await force_close("rehydrator", reason)
    await assert_lost(source, got, by_operator=True)
    await eventually(lambda: ready_is(declared, 10))


async def test_a_channel_closed_by_the_broker_loses_all(publish, open_source, declared):
    await publish(copies(10))
    source = await open_source(prefetch=5)
    await source.grow()
    got = await take(source, 10)
    with suppress(Exception):
        await source._lanes[0].channel.basic_ack(4_711)
    await assert_lost(source, got, by_operator=False)
    await eventually(lambda: ready_is(declared, 10))


async def test_a_deleted_queue_is_a_loss(open_source, connection):
    source = await open_source()
    async with open_channel(connection) as channel:
        await channel.queue_delete(mirror_queue(QUEUE))
    await assert_lost(source, [], by_operator=False)


async def test_a_missing_queue_cannot_be_opened(rabbitmq_url):
    with pytest.raises(Unavailable, match="NOT_FOUND"):
        await CopySource.open(rabbitmq_url, QUEUE, prefetch=10)


async def test_a_silent_broker_does_not_hold_up_the_hand_back(
    publish, open_source, proxy, declared
):
    await publish(copies(10))
    source = await open_source(proxy.url)
    await take(source, 10)
    proxy.hold_answers()
    async with asyncio.timeout(60):
        assert not await source.hand_back()
    proxy.cut()
    await eventually(lambda: ready_is(declared, 10))


def stuck(source):
    """Whether aiormq will give the connection up as silent when it looks next."""
    return underlay(source._connection).is_connection_was_stuck


async def test_deliveries_show_that_the_connection_lives(publish, open_source):
    source = await open_source()
    connection = underlay(source._connection)
    connection._Connection__last_frame_time -= 1_000
    assert stuck(source)
    await publish(copies(1))
    await take(source, 1)

    async def lives():
        return not stuck(source)

    await eventually(lives)


async def test_a_connection_that_falls_silent_is_lost(publish, open_source, proxy, declared):
    await publish(copies(10))
    source = await open_source(proxy.url)
    got = await take(source, 10)
    underlay(source._connection)._Connection__heartbeat_grace_timeout = 0.5
    proxy.hold_answers()
    await assert_lost(source, got, by_operator=False)
    proxy.cut()
    await eventually(lambda: ready_is(declared, 10))


async def test_strange_messages_arrive_as_whatever_can_be_read_of_them(
    open_source, connection, declared
):
    message = Message(
        b"body",
        headers={"nested": {"list": [1, "a", None]}, "yes": True, "at": 1.5},
        content_encoding="gzip",
        priority=3,
        reply_to="somebody",
        expiration=1_000_000,
        message_id="m",
        type="strange",
        user_id="guest",
    )
    async with open_channel(connection) as channel:
        await channel.default_exchange.publish(message, mirror_queue(QUEUE))
        await channel.default_exchange.publish(Message(b""), mirror_queue(QUEUE))
    strange, empty = await take(await open_source(), 2)
    assert strange.headers == {"nested": {"list": [1, "a", None]}, "yes": True, "at": 1.5}
    assert (strange.body, strange.type, strange.message_id) == (b"body", "strange", "m")
    assert (empty.body, empty.type) == (b"", None)


LARGE = 300_000


@pytest.fixture
async def full(rabbitmq_url, publish):
    """A source for 80 large copies that nobody has taken: no more than fit have been read."""
    await publish(copies(80, size=LARGE))
    source = await CopySource.open(rabbitmq_url, QUEUE, prefetch=100)

    async def fills():
        return sum(len(each.body) for each in source._arrived) > WAITING_BYTES_MAX

    await eventually(fills)
    yield source
    await source.hand_back()


async def test_what_waits_is_bounded_by_bytes(full, declared):
    taken, most = [], 0
    while len(taken) < 80:
        # Whatever the broker can push comes in between.
        await declared()
        most = max(most, sum(len(each.body) for each in full._arrived))
        batch = await full.batch(100, 20_000)
        assert 0 < sum(len(each.body) for each in batch) < BATCH_BYTES_MAX + 2 * LARGE
        taken += batch
    assert ids(taken) == [f"task-{i}" for i in range(80)]
    # A read of the socket brings a few copies at the most.
    assert most < WAITING_BYTES_MAX + 4 * LARGE


async def test_a_full_source_gives_everything_back(full, declared):
    assert await full.hand_back()
    assert await declared() == 80


async def test_a_full_source_grows_and_catches_up(full):
    await full.grow()
    assert full.lanes == 2
    assert await full.catch_up() == 80
