"""``enqueue.lua``: accepted at most once, whatever is repeated."""

import pytest

from tests.support.broker import FAR_MS, Broker, settle_of
from tests.support.envelopes import ACCEPTED_AT_MS, envelope


async def test_a_new_task_is_ready_and_journaled(broker):
    (answer,) = await broker.submit(envelope())
    assert (answer.outcome, answer.state, answer.mirrored, answer.run) == (
        "created",
        "queued",
        False,
        1,
    )
    task = await broker.task()
    assert task["accepted"] == str(ACCEPTED_AT_MS)
    assert (task["place"], task["attempt"], task["mirrored"]) == ("ready", "0", "0")
    assert await broker.journal_ids() == [answer.journal_id]
    (entry,), _ = await broker.journal.read(broker.token, None, 10)
    assert (entry.task_id, entry.run, entry.refresh) == ("a", 1, False)
    assert entry.envelope == envelope().raw


@pytest.mark.parametrize(("priority", "lane"), [("high", 1), ("normal", 2), ("low", 3)])
async def test_the_priority_names_the_ready_stream(broker, priority, lane):
    await broker.submit(envelope(priority=priority))
    assert await broker.raw.xlen(broker.keys.lanes[lane - 1]) == 1
    assert (await broker.fetch_one()).lane == lane


async def test_the_same_request_again_is_a_duplicate_and_changes_nothing(broker):
    (first,) = await broker.submit(envelope())
    before = await broker.snapshot()
    (again,) = await broker.submit(envelope())
    assert (again.outcome, again.state, again.journal_id) == (
        "duplicate",
        "queued",
        first.journal_id,
    )
    assert await broker.snapshot() == before


async def test_a_duplicate_tells_whether_its_copy_is_confirmed(broker):
    await broker.submit(envelope())
    await broker.confirm()
    (again,) = await broker.submit(envelope())
    assert again.mirrored


async def test_a_settled_task_is_still_a_duplicate(broker):
    await broker.running()
    await broker.confirm()
    (entry,) = await broker.fetch(own=True)
    await broker.settle(settle_of(entry))
    (again,) = await broker.submit(envelope())
    assert (again.outcome, again.state) == ("duplicate", "succeeded")
    assert await broker.ready_ids() == []


async def test_another_request_under_the_id_is_a_conflict_and_changes_nothing(broker):
    await broker.submit(envelope())
    before = await broker.snapshot()
    (other,) = await broker.submit(envelope(payload={"to": "y"}))
    assert other.outcome == "conflict"
    assert await broker.snapshot() == before


async def test_a_task_due_later_is_scheduled_and_journaled_but_not_ready(broker):
    (answer,) = await broker.submit(envelope(notBefore=FAR_MS))
    assert (answer.outcome, answer.state) == ("created", "scheduled")
    assert await broker.raw.zrange(broker.keys.delayed, 0, -1, withscores=True) == [(b"a", FAR_MS)]
    assert await broker.ready_ids() == []
    assert await broker.journal_ids() == [answer.journal_id]
    (sighting,) = await broker.intake.look(broker.token, ["a"])
    assert sighting.envelope == envelope(notBefore=FAR_MS).raw


async def test_a_due_time_in_the_past_is_now(broker):
    (answer,) = await broker.submit(envelope(notBefore=1))
    assert answer.state == "queued"
    assert await broker.raw.zcard(broker.keys.delayed) == 0


async def test_a_batch_is_answered_in_order_and_knows_its_own_repeats(broker):
    answers = await broker.submit(
        envelope("a"),
        envelope("b", notBefore=FAR_MS),
        envelope("a"),
        envelope("b", payload={"other": 1}),
        envelope("c", priority="high"),
    )
    assert [each.outcome for each in answers] == [
        "created",
        "created",
        "duplicate",
        "conflict",
        "created",
    ]
    assert [each.state for each in answers] == [
        "queued",
        "scheduled",
        "queued",
        "scheduled",
        "queued",
    ]
    assert await broker.ready_ids() == ["c", "a"]
    assert len(await broker.journal_ids()) == 3


async def test_an_empty_batch_is_answered_with_nothing(broker):
    assert await broker.submit() == []


@pytest.mark.parametrize("limits", [{"queue_max": 2}, {"unmirrored_max": 2}])
async def test_a_full_queue_takes_no_more_but_still_knows_its_own(redis, env_name, limits):
    broker = Broker(redis, env_name, **limits)
    await broker.attach()
    answers = await broker.submit(
        envelope("a"), envelope("b", notBefore=FAR_MS), envelope("c"), envelope("a")
    )
    assert [each.outcome for each in answers] == ["created", "created", "full", "duplicate"]
    assert await broker.task("c") == {}
    assert len(await broker.journal_ids()) == 2


async def test_confirmed_copies_make_room_under_the_limit_of_unmirrored(redis, env_name):
    broker = Broker(redis, env_name, unmirrored_max=1)
    await broker.attach()
    await broker.submit(envelope("a"))
    await broker.confirm()
    (answer,) = await broker.submit(envelope("b"))
    assert answer.outcome == "created"


async def test_settled_tasks_make_room_under_the_limit_of_open(redis, env_name):
    broker = Broker(redis, env_name, queue_max=1)
    await broker.attach()
    await broker.settle(settle_of(await broker.running("a")))
    (answer,) = await broker.submit(envelope("b"))
    assert answer.outcome == "created"


async def test_whether_the_id_was_made_by_the_submit_goes_with_the_entry(broker):
    await broker.submit(envelope("made"), fresh=True)
    await broker.submit(envelope("given"), fresh=False)
    fetched = {entry.task_id: entry for entry in await broker.fetch()}
    assert fetched["made"].fresh
    assert not fetched["given"].fresh
    assert fetched["made"].generation == broker.token
