"""``settle.lua``: a finished task leaves its place and is remembered long enough."""

import pytest

from app.state import TaskState
from tests.support.broker import (
    DEDUP_MS,
    FAR_MS,
    FRESH_DEDUP_MS,
    settle_of,
    settle_unseen,
)
from tests.support.envelopes import envelope


async def ttl(broker, task_id="a"):
    return await broker.raw.pttl(broker.keys.task(task_id))


def near(ms):
    return range(ms - 30_000, ms + 1)


async def test_the_entry_goes_and_the_hash_stays(broker):
    entry = await broker.running()
    await broker.settle(settle_of(entry))
    assert await broker.ready_ids() == []
    assert await broker.pending() == {}
    task = await broker.task()
    assert (task["state"], task["place"], task["run"]) == ("succeeded", "", "1")
    assert not {"entry", "nonce", "worker", "suspect", "cancel", "envelope"} & set(task)


async def test_settling_again_changes_nothing(broker):
    entry = await broker.running()
    await broker.settle(settle_of(entry))
    before = await broker.snapshot()
    await broker.settle(settle_of(entry))
    await broker.settle(settle_of(entry, TaskState.DEAD))
    assert await broker.snapshot() == before


async def test_an_entry_alone_is_removed_although_its_hash_is_lost(broker):
    entry = await broker.running()
    await broker.lose_hash()
    await broker.settle(settle_of(entry))
    assert await broker.ready_ids() == []
    assert await broker.task() == {}


async def test_a_delayed_task_leaves_its_place(broker):
    await broker.submit(envelope(notBefore=FAR_MS))
    await broker.settle(settle_unseen("a", state=TaskState.CANCELLED))
    assert await broker.raw.zcard(broker.keys.delayed) == 0
    assert await broker.state() == "cancelled"


async def test_one_without_the_entry_settles_whatever_place_the_hash_names(broker):
    await broker.running()
    await broker.settle(settle_unseen("a"))
    assert await broker.ready_ids() == []
    assert await broker.state() == "succeeded"


async def test_an_open_hash_is_settled_although_its_stream_is_lost(broker):
    await broker.running()
    await broker.lose_lane()
    await broker.settle(settle_unseen("a"))
    assert await broker.state() == "succeeded"


async def test_an_actor_of_a_lower_run_is_ignored(broker):
    await broker.restore(envelope(run=2))
    await broker.settle(settle_unseen("a", run=1))
    assert await broker.state() == "queued"
    assert await broker.ready_ids() == ["a"]


async def test_a_later_run_that_is_finished_settles_a_hash_of_a_lower_one(broker):
    await broker.submit(envelope())
    await broker.settle(settle_unseen("a", run=2, state=TaskState.DISCARDED))
    task = await broker.task()
    assert (task["state"], task["run"]) == ("discarded", "2")
    assert await broker.ready_ids() == []


async def test_the_hash_does_not_expire_before_its_journal_entry_is_trimmed(broker):
    entry = await broker.running()
    await broker.settle(settle_of(entry))
    assert await ttl(broker) == -1
    assert await broker.confirm() == 1
    assert await ttl(broker) in near(FRESH_DEDUP_MS)
    assert await broker.intake.mirrored(broker.token, [("a", 1)]) == [True]


@pytest.mark.parametrize(("fresh", "remembered_ms"), [(True, FRESH_DEDUP_MS), (False, DEDUP_MS)])
async def test_a_given_id_is_remembered_longer_than_one_made_here(broker, fresh, remembered_ms):
    entry = await broker.running(fresh=fresh)
    await broker.confirm()
    await broker.settle(settle_of(entry))
    assert await ttl(broker) in near(remembered_ms)


async def test_an_open_task_does_not_expire_when_it_is_confirmed(broker):
    await broker.running()
    await broker.confirm()
    assert await ttl(broker) == -1


async def test_a_task_restored_from_its_copy_expires_without_a_journal_entry(broker):
    await broker.restore(envelope())
    await broker.settle(settle_unseen("a"))
    assert await ttl(broker) in near(DEDUP_MS)


async def test_a_batch_settles_each_on_its_own(broker):
    a, b = await broker.running("a"), await broker.running("b")
    await broker.submit(envelope("c"))
    await broker.settle(settle_of(a), settle_of(b, TaskState.DEAD), settle_unseen("none"))
    assert [await broker.state(each) for each in "abc"] == ["succeeded", "dead", "queued"]
    assert await broker.ready_ids() == ["c"]


async def test_a_suspicion_and_a_mark_end_with_the_task(broker):
    await broker.restore(envelope())
    await broker.intake.mark_cancel(broker.token, "a")
    await broker.settle(settle_unseen("a"))
    assert not {"suspect", "cancel"} & set(await broker.task())
