"""``redrive.lua``: the next run of a parked task, made once, whatever is repeated."""

import pytest

from app.broker.delivery import PutOff
from app.broker.intake import Submission
from app.state import TaskState
from tests.support.broker import FAR_MS, Broker, settle_of, settle_unseen
from tests.support.envelopes import envelope

DIGEST = envelope().request_digest


def next_run(task_id="a", *, run=2, digest=DIGEST, **options):
    return envelope(task_id, run=run, digest=digest, **options)


async def redrive(broker, *envelopes):
    return await broker.intake.redrive(
        broker.token, [Submission(each, fresh=False) for each in envelopes]
    )


async def dead(broker, task_id="a", *, confirmed=True):
    await broker.settle(settle_of(await broker.running(task_id), TaskState.DEAD))
    if confirmed:
        await broker.confirm()


async def test_a_dead_task_is_ready_again_in_its_next_run(broker):
    await dead(broker)
    (answer,) = await redrive(broker, next_run())
    assert (answer.outcome, answer.state, answer.mirrored, answer.run) == (
        "created",
        "queued",
        False,
        2,
    )
    task = await broker.task()
    assert (task["run"], task["state"], task["place"], task["attempt"]) == (
        "2",
        "queued",
        "ready",
        "0",
    )
    assert (task["mirrored"], task["fresh"]) == ("0", "0")
    assert await broker.raw.pttl(broker.keys.task("a")) == -1


async def test_it_is_journaled_and_marked_by_its_own_confirm(broker):
    await dead(broker)
    (answer,) = await redrive(broker, next_run())
    assert await broker.journal_ids() == [answer.journal_id]
    (entry,), _ = await broker.journal.read(broker.token, None, 10)
    assert (entry.run, entry.refresh, entry.envelope) == (2, False, next_run().raw)
    assert await broker.intake.mirrored(broker.token, [("a", 2)]) == [False]
    assert await broker.confirm() == 1
    assert await broker.intake.mirrored(broker.token, [("a", 2)]) == [True]


async def test_the_confirm_of_the_run_before_is_no_evidence_for_this_one(broker):
    await dead(broker, confirmed=False)
    (before,), _ = await broker.journal.read(broker.token, None, 10)
    await redrive(broker, next_run())
    assert await broker.journal.trim(broker.token, [before]) == 0
    assert await broker.intake.mirrored(broker.token, [("a", 2)]) == [False]
    # Nor does the expiry that was set aside for the run before come true.
    assert await broker.raw.pttl(broker.keys.task("a")) == -1


async def test_it_is_handed_out_to_be_asked_about_and_counts_from_one(broker):
    await dead(broker)
    await redrive(broker, next_run())
    entry = await broker.fetch_one()
    assert (entry.run, entry.fresh, entry.envelope) == (2, False, next_run().raw)
    started = await broker.start(entry)
    assert (started.verdict, started.attempt) == ("run", 1)


async def test_redriving_again_changes_nothing(broker):
    await dead(broker)
    (first,) = await redrive(broker, next_run())
    before = await broker.snapshot()
    (again,) = await redrive(broker, next_run())
    assert (again.outcome, again.run, again.journal_id) == ("duplicate", 2, first.journal_id)
    assert await broker.snapshot() == before


async def test_a_run_that_ended_meanwhile_is_not_made_again(broker):
    await dead(broker)
    await redrive(broker, next_run())
    await broker.settle(settle_of(await broker.fetch_one()))
    before = await broker.snapshot()
    (again,) = await redrive(broker, next_run())
    assert (again.outcome, again.state, again.run) == ("duplicate", "succeeded", 2)
    assert await broker.snapshot() == before


async def test_a_later_run_is_told_and_left_alone(broker):
    await dead(broker)
    await redrive(broker, next_run(run=3))
    before = await broker.snapshot()
    (answer,) = await redrive(broker, next_run(run=2))
    assert (answer.outcome, answer.run) == ("duplicate", 3)
    assert await broker.snapshot() == before


async def test_a_task_redis_has_forgotten_is_made_from_nothing(broker):
    (answer,) = await redrive(broker, next_run())
    assert (answer.outcome, answer.state) == ("created", "queued")
    assert await broker.ready_ids() == ["a"]


@pytest.mark.parametrize("settled", [False, True])
async def test_another_request_under_the_id_is_a_conflict_and_changes_nothing(broker, settled):
    await broker.submit(envelope())
    if settled:
        await broker.settle(settle_unseen("a", state=TaskState.DEAD))
    before = await broker.snapshot()
    (answer,) = await redrive(broker, next_run(digest="0" * 64))
    assert (answer.outcome, answer.run) == ("conflict", 1)
    assert await broker.snapshot() == before


async def test_another_payload_keeps_the_digest_of_the_first_run(broker):
    await dead(broker)
    edited = next_run(payload={"to": "y"})
    (answer,) = await redrive(broker, edited)
    assert answer.outcome == "created"
    assert (await broker.fetch_one()).envelope == edited.raw
    assert (await broker.task())["digest"] == DIGEST


async def test_an_open_lower_run_goes_with_its_ready_place(broker):
    # A Redis that fell back in time has the first run open again.
    await broker.running()
    (answer,) = await redrive(broker, next_run())
    assert answer.outcome == "created"
    assert await broker.ready_ids() == ["a"]
    assert await broker.pending() == {}
    assert not {"nonce", "worker", "started"} & set(await broker.task())


async def test_an_open_lower_run_goes_with_its_delayed_place(broker):
    entry = await broker.running()
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)])
    await redrive(broker, next_run())
    assert await broker.raw.zcard(broker.keys.delayed) == 0
    assert await broker.raw.scard(broker.keys.retrying) == 0
    assert await broker.ready_ids() == ["a"]


async def test_a_run_without_its_place_gets_one_and_keeps_its_attempts_and_mark(broker):
    await redrive(broker, next_run())
    await broker.start(await broker.fetch_one())
    await broker.intake.mark_cancel(broker.token, "a")
    await broker.lose_lane()
    (answer,) = await redrive(broker, next_run())
    assert answer.outcome == "created"
    task = await broker.task()
    assert (task["attempt"], task["cancel"], task["mirrored"]) == ("1", "1", "0")
    assert (await broker.inspect()).standing == "present"
    assert (await broker.journal_ids())[-1] == answer.journal_id


async def test_a_due_time_ahead_is_waited_for(broker):
    (answer,) = await redrive(broker, next_run(notBefore=FAR_MS))
    assert answer.state == "scheduled"
    assert await broker.raw.zscore(broker.keys.delayed, "a") == FAR_MS
    await broker.make_due()
    assert await broker.delivery.promote(broker.token, ["a"]) == [1]
    assert not (await broker.fetch_one()).fresh


@pytest.mark.parametrize("limits", [{"queue_max": 2}, {"unmirrored_max": 2}])
async def test_a_full_queue_takes_no_more_but_still_knows_its_own(redis, env_name, limits):
    broker = Broker(redis, env_name, **limits)
    await broker.attach()
    answers = await redrive(
        broker, next_run("a"), next_run("b", notBefore=FAR_MS), next_run("c"), next_run("a")
    )
    assert [each.outcome for each in answers] == ["created", "created", "full", "duplicate"]
    assert await broker.task("c") == {}


async def test_a_settled_task_stays_what_it_is_in_a_full_queue(redis, env_name):
    broker = Broker(redis, env_name, queue_max=1)
    await broker.attach()
    await dead(broker)
    await broker.submit(envelope("other"))
    before = await broker.snapshot()
    (answer,) = await redrive(broker, next_run())
    assert answer.outcome == "full"
    assert await broker.snapshot() == before


async def test_a_batch_is_answered_in_order(broker):
    await dead(broker, "a")
    await broker.submit(envelope("b", payload={"other": 1}))
    answers = await redrive(broker, next_run("a"), next_run("b"), next_run("c", priority="high"))
    assert [each.outcome for each in answers] == ["created", "conflict", "created"]
    assert await broker.ready_ids() == ["c", "b", "a"]


async def test_after_a_wipe_a_confirmed_run_comes_back_as_its_run(broker):
    await dead(broker)
    await redrive(broker, next_run())
    (copy,), _ = await broker.journal.read(broker.token, None, 10)
    await broker.confirm()
    await broker.lose_everything()
    assert copy.envelope == next_run().raw
    # Its copy is restored; the one of the run before would not be: the ledger has that finished.
    assert await broker.restore(next_run()) == "restored"
    entry = await broker.fetch_one()
    assert entry.run == 2
    started = await broker.start(entry, asked=True)
    assert (started.verdict, started.attempt) == ("run", 1)


async def test_after_a_wipe_an_unconfirmed_run_is_made_again_by_asking_again(broker):
    await dead(broker)
    await redrive(broker, next_run())
    await broker.lose_everything()
    (answer,) = await redrive(broker, next_run())
    assert (answer.outcome, answer.run) == ("created", 2)


async def test_a_discard_that_came_first_settles_the_run(broker):
    await dead(broker)
    await redrive(broker, next_run())
    await broker.settle(settle_unseen("a", run=2, state=TaskState.DISCARDED))
    task = await broker.task()
    assert (task["run"], task["state"], task["place"]) == ("2", "discarded", "")
    assert await broker.ready_ids() == []
