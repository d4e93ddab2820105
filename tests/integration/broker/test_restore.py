"""``restore.lua``: what is absent, of a lower run or without its place comes back, suspect."""

import pytest

from app.broker.delivery import PutOff
from app.broker.recovery import Restore
from app.state import TaskState
from tests.support.broker import FAR_MS, settle_of, settle_unseen
from tests.support.envelopes import envelope


async def test_an_absent_task_comes_back_suspect_and_mirrored(broker):
    assert await broker.restore(envelope()) == "restored"
    task = await broker.task()
    assert (task["state"], task["place"]) == ("queued", "ready")
    assert (task["suspect"], task["mirrored"]) == ("1", "1")
    # What is 0 is not written, nor what the envelope says.
    assert not task.keys() & {"attempt", "fresh", "accepted"}
    assert await broker.intake.mirrored(broker.token, [("a", 1)]) == [True]
    entry = await broker.fetch_one()
    assert (entry.fresh, entry.envelope) == (False, envelope().raw)


async def test_it_is_not_journaled_again(broker):
    await broker.restore(envelope())
    assert await broker.journal_ids() == []


async def test_restoring_again_changes_nothing(broker):
    await broker.restore(envelope())
    before = await broker.snapshot()
    assert await broker.restore(envelope()) == "present"
    assert await broker.snapshot() == before


async def test_everything_comes_back_after_a_wipe(broker):
    tasks = [envelope("a"), envelope("b", priority="high"), envelope("c", notBefore=FAR_MS)]
    await broker.submit(*tasks)
    await broker.lose_everything()
    wishes = [Restore(each, 0, 0) for each in tasks]
    assert await broker.recovery.restore(broker.token, wishes) == ["restored"] * 3
    assert await broker.ready_ids() == ["b", "a"]
    assert await broker.state("c") == "scheduled"
    (again,) = await broker.submit(tasks[0])
    assert again.outcome == "duplicate"


@pytest.mark.parametrize("running", [False, True])
async def test_a_present_task_is_left_alone(broker, running):
    if running:
        await broker.running()
    else:
        await broker.submit(envelope())
    before = await broker.snapshot()
    assert await broker.restore(envelope(), attempts_ended=5) == "present"
    assert await broker.snapshot() == before


async def test_a_retrying_task_is_left_alone(broker):
    entry = await broker.running()
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)])
    assert await broker.restore(envelope()) == "present"
    assert await broker.state() == "retrying"


async def test_a_task_without_its_place_gets_one(broker):
    await broker.submit(envelope())
    await broker.lose_lane()
    assert await broker.restore(envelope()) == "restored"
    assert (await broker.inspect()).standing == "present"
    assert (await broker.task())["suspect"] == "1"
    assert await broker.ready_ids() == ["a"]


async def test_a_delayed_task_without_its_member_gets_one(broker):
    task = envelope(notBefore=FAR_MS)
    await broker.submit(task)
    await broker.raw.delete(broker.keys.delayed)
    assert await broker.restore(task) == "restored"
    assert await broker.raw.zscore(broker.keys.delayed, "a") == FAR_MS
    assert await broker.state() == "scheduled"


@pytest.mark.parametrize(("in_ledger", "kept"), [(0, 2), (2, 2), (5, 5)])
async def test_the_greater_attempt_of_hash_and_ledger_is_kept(broker, in_ledger, kept):
    entry = await broker.running()
    await broker.start(entry)
    await broker.lose_lane()
    assert await broker.restore(envelope(), attempts_ended=in_ledger) == "restored"
    assert (await broker.task())["attempt"] == str(kept)


async def test_a_retry_due_in_the_future_waits_for_it(broker):
    assert await broker.restore(envelope(), attempts_ended=2, due_ms=FAR_MS) == "restored"
    task = await broker.task()
    assert (task["state"], task["attempt"], task["due"]) == ("retrying", "2", str(FAR_MS))
    assert await broker.raw.sismember(broker.keys.retrying, "a")
    await broker.make_due()
    assert await broker.delivery.promote(broker.token, ["a"]) == [1]
    started = await broker.start(await broker.fetch_one(), asked=True, ledger_attempt=2)
    assert (started.verdict, started.attempt) == ("run", 3)


async def test_a_due_time_that_has_passed_is_now(broker):
    await broker.restore(envelope(), attempts_ended=2, due_ms=1)
    task = await broker.task()
    assert (task["state"], task["place"], task["attempt"]) == ("queued", "ready", "2")


async def test_the_later_of_both_due_times_counts(broker):
    await broker.restore(envelope(notBefore=FAR_MS), due_ms=1)
    assert await broker.raw.zscore(broker.keys.delayed, "a") == FAR_MS
    assert await broker.state() == "scheduled"


async def test_a_settled_task_stays_settled(broker):
    await broker.settle(settle_of(await broker.running()))
    before = await broker.snapshot()
    assert await broker.restore(envelope()) == "settled"
    assert await broker.snapshot() == before


async def test_another_request_under_the_id_is_a_conflict_and_restored_over_nothing(broker):
    await broker.submit(envelope())
    before = await broker.snapshot()
    assert await broker.restore(envelope(payload={"to": "y"})) == "conflict"
    assert await broker.snapshot() == before


async def test_another_request_is_a_conflict_in_a_later_run_too_and_when_settled(broker):
    await broker.settle(settle_of(await broker.running()))
    assert await broker.restore(envelope(run=2, payload={"to": "y"})) == "conflict"
    assert await broker.state() == "succeeded"


async def test_a_later_run_replaces_a_settled_one(broker):
    await broker.settle(settle_of(await broker.running(), TaskState.DEAD))
    await broker.confirm()
    assert await broker.restore(envelope(run=2)) == "restored"
    task = await broker.task()
    assert (task["run"], task["state"], task.get("attempt")) == ("2", "queued", None)
    assert await broker.raw.pttl(broker.keys.task("a")) == -1


async def test_a_later_run_replaces_an_open_one_together_with_its_place(broker):
    entry = await broker.running()
    assert await broker.restore(envelope(run=2)) == "restored"
    assert await broker.ready_ids() == ["a"]
    assert await broker.delivery.renew(broker.token, "w1", [entry]) == ["lost"]
    assert "attempt" not in await broker.task()


async def test_a_later_run_replaces_a_delayed_one_together_with_its_member(broker):
    first = envelope(notBefore=FAR_MS)
    await broker.submit(first)
    assert await broker.restore(envelope(run=2, digest=first.request_digest)) == "restored"
    assert await broker.raw.zcard(broker.keys.delayed) == 0
    assert await broker.ready_ids() == ["a"]


async def test_a_copy_of_a_lower_run_changes_nothing(broker):
    await broker.restore(envelope(run=2))
    before = await broker.snapshot()
    assert await broker.restore(envelope(run=1)) == "present"
    assert await broker.snapshot() == before
    await broker.settle(settle_unseen("a", run=2))
    assert await broker.restore(envelope(run=1)) == "settled"


async def test_a_cancel_mark_is_kept_with_the_hash_it_stands_in(broker):
    await broker.submit(envelope())
    await broker.intake.mark_cancel(broker.token, "a")
    await broker.lose_lane()
    await broker.restore(envelope())
    assert (await broker.start(await broker.fetch_one(), asked=True)).verdict == "cancel"


async def test_a_cancel_mark_of_a_lower_run_is_not_kept(broker):
    await broker.submit(envelope())
    await broker.intake.mark_cancel(broker.token, "a")
    await broker.restore(envelope(run=2))
    assert (await broker.start(await broker.fetch_one(), asked=True)).verdict == "run"


async def test_an_entry_whose_hash_was_lost_is_a_leftover_once_restored(broker):
    entry = await broker.running()
    await broker.lose_hash()
    assert await broker.restore(envelope(), attempts_ended=1) == "restored"
    assert (await broker.start(entry)).verdict == "gone"
    started = await broker.start(await broker.fetch_one("w2"), "w2", asked=True)
    assert (started.verdict, started.attempt) == ("run", 2)


async def test_a_batch_is_answered_in_order(broker):
    await broker.submit(envelope("a"), envelope("c"))
    await broker.settle(settle_unseen("c"))
    wishes = [
        Restore(each, 0, 0)
        for each in (envelope("a"), envelope("b"), envelope("c"), envelope("a", payload={"z": 1}))
    ]
    assert await broker.recovery.restore(broker.token, wishes) == [
        "present",
        "restored",
        "settled",
        "conflict",
    ]
