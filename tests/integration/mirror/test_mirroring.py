"""What the journal holds arrives in RabbitMQ, confirmed, in order; faults only delay it."""

import hashlib

import pytest

from app.amqp.connection import open_channel
from app.amqp.topology import TASKS, mirror_queue
from tests.support.envelopes import ACCEPTED_AT_MS, QUEUE, TENANT, envelope
from tests.support.eventually import eventually
from tests.support.limits import limited

FAR_MS = 4_000_000_000_000


def task_ids(n, first=0):
    return [f"t{i}" for i in range(first, first + n)]


def first_seen(ids):
    return list(dict.fromkeys(ids))


async def test_copies_arrive_in_order_with_the_envelopes_bytes(
    start_mirror, world, ledger, env_name, publisher_kind
):
    ids = task_ids(700)
    journal_ids = await world.submit(*ids)
    start_mirror(mirror_publisher=publisher_kind)
    await eventually(lambda: world.all_marked(*ids))
    copies = await world.take_copies()
    assert [copy.headers["x-task-id"] for copy in copies] == ids
    for copy, task_id, journal_id in zip(copies, ids, journal_ids, strict=True):
        raw = envelope(task_id).raw
        assert copy.body == raw
        assert {k: v for k, v in copy.headers.items() if k != "x-delivery-count"} == {
            "x-task-id": task_id,
            "x-env": env_name,
            "x-tenant": TENANT,
            "x-queue": QUEUE,
            "x-run": 1,
            "x-schema": 1,
            "x-digest": hashlib.sha256(raw).hexdigest(),
            "x-accepted-at": ACCEPTED_AT_MS,
            "x-generation": await world.session.token(),
            "x-journal-id": journal_id,
            "x-ledger": ledger.identity,
        }
        assert (copy.correlation_id, copy.type) == (task_id, "mail.send")


async def test_the_trimmed_journal_is_empty_and_the_figures_say_so(
    start_mirror, world, publisher_kind
):
    mirror = start_mirror(mirror_publisher=publisher_kind)
    last = (await world.submit(*task_ids(30)))[-1]
    await eventually(lambda: world.all_marked(*task_ids(30)))
    assert await world.journal_ids() == []
    figures = await world.figures()
    assert (figures["watermark"], figures["confirmed"]) == (last, "30")
    assert figures["generation"] == await world.session.token()
    assert figures["leader"] == mirror.owner
    await mirror.counts(30, "mirror_confirmed_total")


async def test_one_task_at_a_time_is_mirrored_too(start_mirror, world, publisher_kind):
    start_mirror(mirror_publisher=publisher_kind)
    for task_id in task_ids(20):
        await world.submit(task_id)
        await eventually(lambda task_id=task_id: world.all_marked(task_id))
    assert await world.taken_ids() == task_ids(20)


async def test_a_task_for_later_has_its_copy_now(start_mirror, world):
    start_mirror()
    await world.submit("later", notBefore=FAR_MS)
    await eventually(lambda: world.all_marked("later"))
    assert await world.taken_ids() == ["later"]


async def test_the_watermark_is_announced(start_mirror, world):
    async with world.raw.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(world.keys.watermark_channel)
        await pubsub.get_message(timeout=1)
        start_mirror()
        (journal_id,) = await world.submit("a")
        told = await eventually(lambda: pubsub.get_message(timeout=1))
        assert told["data"].decode() == journal_id
        assert await world.all_marked("a")


async def test_a_window_smaller_than_the_journal_is_enough(start_mirror, world):
    await world.submit(*task_ids(100))
    start_mirror(mirror_window=7)
    await eventually(lambda: world.all_marked(*task_ids(100)))
    assert await world.taken_ids() == task_ids(100)


async def test_large_envelopes_pass(start_mirror, world):
    ids = task_ids(12)
    for each in ids:
        await world.submit(each, payload={"text": "x" * 1_000_000})
    start_mirror()
    await eventually(lambda: world.all_marked(*ids))
    assert await world.taken_ids() == ids


async def test_nothing_counts_before_its_confirm(proxied, world, proxy):
    before = await world.figures()
    proxy.hold_answers()
    (journal_id,) = await world.submit("a")
    await eventually(lambda: one(world.copies_ready()))
    assert await world.marks("a") == [False]
    assert await world.journal_ids() == [journal_id]
    assert (await world.figures())["watermark"] == before["watermark"]
    proxy.flow()
    await eventually(lambda: world.all_marked("a"))
    assert (await world.figures())["watermark"] == journal_id
    assert await world.journal_ids() == []


async def one(count):
    return await count == 1


@pytest.mark.parametrize("kind", ["batched", "plain"])
async def test_without_rabbitmq_the_journal_keeps_and_then_catches_up_in_order(
    start_mirror, world, proxy, kind
):
    mirror = start_mirror(
        rabbitmq_url=proxy.url, mirror_publisher=kind, mirror_window=50, store_timeout_ms=2_000
    )
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    proxy.hold_requests()
    proxy.cut()
    await eventually(lambda: not mirror.publisher.connected)
    ids = task_ids(400)
    journal_ids = await world.submit(*ids)
    await eventually(lambda: says_blocked(world))
    await eventually(lambda: (mirror.total("unmirrored_oldest_age_seconds") or 0) > 1)
    # They wait in the journal: nothing was published in vain.
    assert not mirror.total("mirror_unknown_total")
    assert await world.journal_ids() == journal_ids
    assert not any(await world.marks(*ids))
    proxy.flow()
    await eventually(lambda: world.all_marked(*ids), within_s=60)
    assert await world.taken_ids() == ["first", *ids]
    await eventually(lambda: says_unblocked(world))


async def says_blocked(world):
    return (await world.mirror_state()).blocked


async def says_unblocked(world):
    return not (await world.mirror_state()).blocked


async def test_a_connection_cut_in_the_middle_loses_nothing(proxied, world, proxy):
    proxy.hold_answers()
    ids = task_ids(500)
    await world.submit(*ids)
    await eventually(lambda: some(world))
    proxy.cut()
    proxy.flow()
    await eventually(lambda: world.all_marked(*ids), within_s=60)
    assert first_seen(await world.taken_ids()) == ids
    await eventually(lambda: counted(world, "unknown"))
    assert await world.journal_ids() == []


async def some(world):
    return await world.copies_ready() > 0


async def counted(world, what):
    return int((await world.figures()).get(what, 0)) > 0


async def test_a_lost_confirm_is_unknown_and_published_again_until_one_comes(
    start_mirror, world, proxy
):
    mirror = start_mirror(rabbitmq_url=proxy.url, store_timeout_ms=400)
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    proxy.hold_answers()
    await world.submit("a", "b")
    await eventually(lambda: counted(world, "unknown"))
    assert await world.marks("a", "b") == [False, False]
    proxy.flow()
    await eventually(lambda: world.all_marked("a", "b"), within_s=60)
    taken = await world.taken_ids()
    assert taken.count("a") >= 2
    assert first_seen(taken) == ["first", "a", "b"]
    # Each entry is confirmed and taken off the journal once, however often it was published.
    assert (await world.figures())["confirmed"] == "3"
    await eventually(lambda: mirror.total("mirror_unknown_total") >= 2)
    assert await world.journal_ids() == []


async def test_a_queue_deleted_by_hand_is_declared_again(start_mirror, world, connection):
    mirror = start_mirror()
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    async with open_channel(connection) as channel:
        await channel.queue_delete(mirror_queue(QUEUE))
    ids = task_ids(300)
    await world.submit(*ids)
    await eventually(lambda: world.all_marked(*ids))
    assert first_seen(await world.taken_ids()) == ids
    await eventually(lambda: counted(world, "returned"))
    await eventually(lambda: mirror.total("mirror_returned_total"))


async def test_an_exchange_deleted_by_hand_is_declared_again(start_mirror, world, connection):
    start_mirror()
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    async with open_channel(connection) as channel:
        await channel.exchange_delete(TASKS)
    ids = task_ids(300)
    await world.submit(*ids)
    await eventually(lambda: world.all_marked(*ids), within_s=60)
    assert first_seen(await world.taken_ids()) == ["first", *ids]


async def test_what_rabbitmq_refuses_is_published_again(
    start_mirror, world, rabbitmq_url, rabbitmq_management_url
):
    mirror = start_mirror()
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    submitted = []

    async def refused():
        submitted.append(f"t{len(submitted)}")
        await world.submit(submitted[-1])
        return mirror.total("mirror_refused_total")

    async with limited(rabbitmq_url, rabbitmq_management_url):
        await eventually(refused)
        await eventually(lambda: counted(world, "refused"))
        assert not await world.all_marked(*submitted)
    # Nobody takes a copy: the limit alone has gone.
    await eventually(lambda: world.all_marked(*submitted), within_s=60)
    assert set(await world.taken_ids()) >= {"first", *submitted}


async def test_what_a_full_queue_refuses_gets_in_as_copies_leave(
    start_mirror, world, rabbitmq_url, rabbitmq_management_url
):
    mirror = start_mirror()
    taken, submitted = [], []

    async def refused():
        submitted.append(f"t{len(submitted)}")
        await world.submit(submitted[-1])
        return mirror.total("mirror_refused_total")

    async def drained():
        taken.extend(await world.taken_ids())
        return await world.all_marked(*submitted)

    async with limited(rabbitmq_url, rabbitmq_management_url):
        await eventually(refused)
        await eventually(drained, within_s=60)
    # What came between the last look at the queue and the one at the marks.
    taken += await world.taken_ids()
    assert set(taken) >= set(submitted)
