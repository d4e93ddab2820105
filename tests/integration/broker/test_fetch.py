"""``fetch.lua``: ready entries for a consumer, high priority first, nothing skipped."""

import pytest

from app.broker.generation import load_paused
from tests.support.broker import Broker
from tests.support.envelopes import envelope


async def submit_each_priority(broker):
    for priority in ("low", "normal", "high"):
        await broker.submit(
            envelope(f"{priority}-1", priority=priority),
            envelope(f"{priority}-2", priority=priority),
        )


async def test_high_comes_before_normal_before_low_and_each_in_order(broker):
    await submit_each_priority(broker)
    assert [entry.task_id for entry in await broker.fetch()] == [
        "high-1",
        "high-2",
        "normal-1",
        "normal-2",
        "low-1",
        "low-2",
    ]


async def test_never_more_than_there_is_room_for(broker):
    await submit_each_priority(broker)
    assert [entry.task_id for entry in await broker.fetch(count=3)] == [
        "high-1",
        "high-2",
        "normal-1",
    ]
    assert [entry.task_id for entry in await broker.fetch("w2", count=2)] == ["normal-2", "low-1"]


@pytest.mark.parametrize(
    ("order", "first"), [("123", "high-1"), ("231", "normal-1"), ("321", "low-1")]
)
async def test_the_caller_may_let_another_lane_go_first(broker, order, first):
    await submit_each_priority(broker)
    entry = await broker.fetch_one(count=1, order=order)
    assert entry.task_id == first
    assert entry.lane == {"high": 1, "normal": 2, "low": 3}[first.split("-")[0]]


async def test_an_entry_says_what_it_is(broker):
    await broker.submit(envelope(), fresh=True)
    entry = await broker.fetch_one()
    assert (entry.task_id, entry.run, entry.fresh, entry.reclaimed) == ("a", 1, True, False)
    assert entry.generation == broker.token
    assert entry.envelope == envelope().raw
    assert entry.entry_id == (await broker.task())["entry"]


async def test_an_entry_is_handed_out_once(broker):
    await broker.submit(envelope())
    assert len(await broker.fetch("w1")) == 1
    assert await broker.fetch("w1") == []
    assert await broker.fetch("w2") == []


async def test_ones_own_pending_entries_are_read_again_and_nobody_elses(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.fetch("w1", count=1)
    await broker.fetch("w2", count=1)
    (again,) = await broker.fetch("w1", own=True)
    assert again.task_id == "a"
    assert again.reclaimed


async def test_a_paused_queue_hands_out_nothing(redis, env_name):
    broker = Broker(redis, env_name)
    await broker.attach(paused=True)
    await broker.submit(envelope())
    for own in (False, True):
        fetched = await broker.delivery.fetch(broker.token, "w1", 10, own=own)
        assert (fetched.flag, fetched.entries) == ("paused", [])


async def test_a_queue_whose_pause_flag_is_not_loaded_hands_out_nothing(broker):
    await broker.submit(envelope())
    token = await broker.raw.hdel(broker.keys.generation, "paused") and broker.token
    fetched = await broker.delivery.fetch(token, "w1", 10)
    assert (fetched.flag, fetched.entries) == ("unloaded", [])
    await load_paused(broker.redis, broker.keys, token, paused=False)
    fetched = await broker.delivery.fetch(token, "w1", 10)
    assert (fetched.flag, len(fetched.entries)) == ("open", 1)


async def test_nothing_is_skipped_after_a_stream_was_lost(broker):
    await broker.submit(envelope("before"))
    await broker.fetch()
    await broker.lose_lane()
    # The producer makes the stream anew, without a group: a group at $ would skip this entry.
    await broker.submit(envelope("after"))
    assert (await broker.fetch_one()).task_id == "after"


async def test_a_lost_stream_does_not_keep_the_other_lanes_from_being_read(broker):
    await submit_each_priority(broker)
    await broker.fetch(count=1)
    await broker.lose_lane(1)
    assert [entry.task_id for entry in await broker.fetch()] == [
        "normal-1",
        "normal-2",
        "low-1",
        "low-2",
    ]


async def test_one_may_wait_behind_the_cursors_for_the_next_entry(broker):
    empty = await broker.delivery.fetch(broker.token, "w1", 10)
    assert not await broker.redis.wait_for_entries(empty.cursors, 10)
    await broker.submit(envelope(priority="low"))
    assert await broker.redis.wait_for_entries(empty.cursors, 10)
    fetched = await broker.delivery.fetch(broker.token, "w1", 10)
    assert fetched.cursors[broker.keys.lanes[2]] == fetched.entries[0].entry_id
    assert not await broker.redis.wait_for_entries(fetched.cursors, 10)
