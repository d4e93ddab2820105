"""What the ledger knows decides what runs: rules 2, 4, 7, 8 and 10."""

import asyncio

import pytest

from app.errors import Unavailable
from app.ledger.records import About, Finish, FinishedPart, OpenPart, OpenWrite
from tests.integration.worker.house import NAME
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

FAR_MS = 4_000_000_000_000


async def finish(house, task_id="a", *, run=1, state="succeeded", by="somebody", **options):
    recorded = envelope(task_id, run=run, **options)
    part = FinishedPart(run, state, 1_700_000_000_000, by, 1, b"1", None)
    key = NAME.task(task_id)
    (result,) = await house.ledger.finish(
        [Finish(key, recorded.request_digest, recorded.raw, part, About.of(recorded))]
    )
    assert result.won


async def record_open(house, task_id="a", *, attempt, phase="failed", due_ms=0, run=1, **options):
    part = OpenPart(run, attempt, phase, due_ms, lost=0, by="somebody")
    recorded = envelope(task_id, run=run, **options)
    (won,) = await house.ledger.record_open(
        [OpenWrite(NAME.task(task_id), recorded.request_digest, part)]
    )
    assert won


async def test_a_fresh_first_delivery_is_not_asked_about(house):
    await house.submit_one(fresh=True)
    house.worker()
    await house.ends()
    assert house.ledger.asked() == []
    assert house.ledger.opened() == []


async def test_a_task_under_a_callers_id_is_asked_about_but_needs_no_open_record(house):
    await house.submit_one(fresh=False)
    house.worker()
    await house.ends()
    assert house.ledger.asked() == ["a"]
    assert house.ledger.opened() == []


async def test_a_repeat_after_redis_forgot_the_id_is_settled_unrun(house):
    await finish(house)
    await house.submit_one(fresh=False)
    house.worker()
    await eventually(house.is_idle)
    assert house.mail.calls == []
    assert await house.is_state("a", "succeeded")


async def test_a_finished_task_that_was_restored_is_not_run_again(house):
    await house.submit_one()
    worker = house.worker()
    await house.ends()
    await house.stop(worker)
    await house.wipe()
    assert await house.restore(envelope()) == "restored"
    house.worker()
    await eventually(house.is_idle)
    await eventually(lambda: house.is_state("a", "succeeded"))
    assert house.mail.calls == [("a", 1, 1)]


async def test_an_entry_of_a_run_below_the_recorded_one_is_settled_unrun(house):
    await finish(house, run=3, state="dead")
    assert await house.restore(envelope(run=2)) == "restored"
    house.worker()
    await eventually(lambda: house.is_state("a", "dead"))
    assert house.mail.calls == []
    assert (await house.fields())["run"] == "3"


async def test_a_later_run_than_the_recorded_one_runs(house):
    await finish(house, run=1, state="dead")
    await house.submit(envelope(run=2))
    house.worker()
    record = await eventually(lambda: has_run(house, 2))
    assert house.mail.calls == [("a", 2, 1)]
    assert record.finished.state == "succeeded"


async def has_run(house, run):
    record = await house.record()
    return record if record.finished.run == run else None


async def test_a_restored_task_is_recorded_as_started_before_it_runs(house):
    opened_first = []
    house.mail.do = lambda _payload, _context: opened_first.extend(house.ledger.opened())
    assert await house.restore(envelope()) == "restored"
    house.worker()
    await house.ends(state="succeeded")
    (part,) = opened_first
    assert (part.run, part.attempt, part.phase) == (1, 1, "started")


async def test_a_restored_task_keeps_its_ended_attempts(house):
    await record_open(house, attempt=2)
    # Not even a rehydrator that knows less than the ledger makes attempts come back.
    assert await house.restore(envelope(), attempts_ended=0) == "restored"
    house.worker()
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 3)]
    assert record.finished.attempt == 3


async def test_a_restored_task_keeps_its_due_time(house):
    await record_open(house, attempt=1, due_ms=FAR_MS)
    assert await house.restore(envelope()) == "restored"
    house.worker()
    await eventually(lambda: house.is_state("a", "retrying"))
    fields = await house.fields()
    assert (fields["due"], fields["attempt"]) == (str(FAR_MS), "1")
    assert house.mail.calls == []
    await eventually(house.is_idle)


async def test_attempts_stay_bounded_over_losses_of_redis(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)
    poison = envelope(retry={"delaysMs": [1], "jitter": 0})
    for attempt in (1, 2):
        await house.restore(poison)
        worker = house.worker()
        await eventually(lambda: len(house.mail.calls) == attempt)  # noqa: B023 - awaited here
        await house.kill(worker)
        await house.wipe()
    await house.restore(poison)
    house.worker()
    record = await house.ends(state="dead")
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 2)]
    assert record.finished.error.type == "attempts_exhausted"


async def test_a_claim_is_dropped_when_somebody_else_started_the_run_meanwhile(house):
    ahead = asyncio.Event()

    async def overtake(writes):
        if not ahead.is_set():
            ahead.set()
            await record_open(house, attempt=1, phase="started")

    house.ledger.before["record_open"] = overtake
    assert await house.restore(envelope()) == "restored"
    house.worker()
    record = await house.ends(state="succeeded")
    # It asked again, and did not run the attempt that another worker had recorded.
    assert house.mail.calls == [("a", 1, 2)]
    assert house.ledger.asked() == ["a", "a"]
    assert record.finished.attempt == 2


async def test_an_entry_whose_hash_was_lost_is_asked_about_and_adopts_the_attempt(house):
    await record_open(house, attempt=1)
    await house.submit_one(fresh=True)
    await house.raw.delete(house.keys.task("a"))
    house.worker()
    await house.ends(state="succeeded")
    assert house.ledger.asked() == ["a"]
    assert house.mail.calls == [("a", 1, 2)]


async def test_an_entry_whose_hash_was_lost_does_not_run_when_finished(house):
    await finish(house)
    await house.submit_one(fresh=True)
    await house.raw.delete(house.keys.task("a"))
    house.worker()
    await eventually(house.is_idle)
    assert house.mail.calls == []


async def test_a_retry_is_asked_about(house):
    """A worker that lost its lease may have recorded the run as over meanwhile."""

    def fail(payload, context):
        raise RuntimeError

    house.mail.do = fail
    later = {"delaysMs": [3_600_000], "jitter": 0}
    await house.submit_one(fresh=True, retry=later)
    house.worker()
    await eventually(lambda: house.is_state("a", "retrying"))
    await finish(house, retry=later, state="cancelled")
    # Time passes: it is due.
    await house.raw.zadd(house.keys.delayed, {"a": 1}, xx=True)
    await eventually(lambda: house.is_state("a", "cancelled"))
    assert len(house.mail.calls) == 1
    assert house.ledger.asked() == ["a"]


async def test_another_request_under_a_recorded_id_goes_to_the_quarantine(house):
    await finish(house, payload={"to": "first"})
    second = envelope(payload={"to": "second"})
    await house.submit(second, fresh=False)
    house.worker()
    await eventually(house.is_idle)
    (kept,) = await house.ledger.quarantined(10)
    assert (kept.reason, kept.task_id, kept.body) == ("ID_CONFLICT", "a", second.raw)
    assert house.mail.calls == []
    assert (await house.record()).envelope == envelope(payload={"to": "first"}).raw
    # The owner of the id can be brought back.
    assert await house.fields() == {}


async def test_an_unreadable_entry_goes_to_the_quarantine(house):
    token = await house.token()
    fields = {"id": "a", "run": 1, "gen": token, "fresh": 1, "envelope": b"\xff{"}
    await house.raw.xadd(house.keys.lanes[1], fields)
    house.worker()
    await eventually(house.is_idle)
    (kept,) = await eventually(lambda: house.ledger.quarantined(10))
    assert (kept.reason, kept.body) == ("NOT_AN_ENVELOPE", b"\xff{")


async def test_while_the_ledger_is_away_only_those_that_must_ask_wait(house):
    await house.submit_one("given", fresh=False)
    await house.submit_one("fresh", fresh=True)
    house.ledger.away = True
    worker = house.worker()
    await worker.serve(NAME)
    await eventually(lambda: ("fresh", 1, 1) in house.mail.calls)
    assert ("given", 1, 1) not in house.mail.calls
    assert await house.finished("fresh") is None
    house.ledger.away = False
    await house.ends("given", "succeeded")
    await house.ends("fresh", "succeeded")


async def test_a_task_is_not_settled_before_the_ledger_is_back(house):
    def go_away(payload, context):
        house.ledger.away = True

    house.mail.do = go_away
    await house.submit_one()
    house.worker(lease_ms=500)
    await eventually(lambda: house.mail.calls)
    first = await lease_age(house)
    # Renewals go on, so the outcome keeps its claim.
    await eventually(lambda: renewed_since(house, first))
    assert await house.is_state("a", "running")
    assert await house.ready() == 1
    house.ledger.away = False
    await house.ends(state="succeeded")
    assert len(house.mail.calls) == 1


async def lease_age(house):
    ((entry_id, *_),) = [
        (each["message_id"],)
        for each in await house.raw.xpending_range(house.keys.lanes[1], "workers", "-", "+", 1)
    ]
    return entry_id, asyncio.get_running_loop().time()


async def renewed_since(house, first):
    entry_id, at = first
    (found,) = await house.raw.xpending_range(house.keys.lanes[1], "workers", entry_id, entry_id, 1)
    waited_ms = (asyncio.get_running_loop().time() - at) * 1000
    return waited_ms > 600 and found["time_since_delivered"] < 400


async def test_a_cancel_mark_met_at_start_ends_the_task_unrun(house):
    await house.submit_one()
    await house.intake.mark_cancel(await house.token(), "a")
    house.worker()
    await house.ends(state="cancelled")
    assert house.mail.calls == []


async def test_a_cancel_mark_met_at_a_retry_ends_the_task(house):
    async def fail_marked(payload, context):
        await house.intake.mark_cancel(await house.token(), "a")
        raise RuntimeError

    house.mail.do = fail_marked
    await house.submit_one(retry={"delaysMs": [1], "jitter": 0})
    house.worker()
    record = await house.ends(state="cancelled")
    assert len(house.mail.calls) == 1
    assert [each.outcome for each in record.attempts] == ["failed"]


async def test_a_running_task_is_cancelled_by_its_mark(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)
    await house.submit_one(timeoutMs=60_000)
    house.worker(lease_ms=500)
    await eventually(lambda: house.mail.calls)
    await house.intake.mark_cancel(await house.token(), "a")
    record = await house.ends(state="cancelled")
    assert house.mail.cancelled == ["a"]
    assert record.attempts[0].outcome == "cancelled"


async def test_an_outcome_that_comes_second_gives_way_to_the_recorded_one(house):
    async def overtaken(writes):
        house.ledger.before.clear()
        await finish(house, state="cancelled")

    house.ledger.before["finish"] = overtaken
    await house.submit_one()
    house.worker()
    await house.ends(state="cancelled")
    assert await house.is_state("a", "cancelled")
    assert house.metric("tasks_settled_total", outcome="succeeded") == 0


@pytest.mark.parametrize("verb", ["finish", "record_open"])
async def test_a_write_whose_answer_was_lost_is_repeated_without_harm(house, verb):
    """The ledger applied it, but the worker was told that it is away."""

    async def applied_but_unanswered(writes):
        house.ledger.before.clear()
        await getattr(house.ledger._inner, verb)(writes)
        raise Unavailable("ledger", "the answer got lost")

    def fail_once(payload, context):
        if verb == "record_open" and context.attempt == 1:
            raise RuntimeError

    house.mail.do = fail_once
    house.ledger.before[verb] = applied_but_unanswered
    await house.submit_one(retry={"delaysMs": [1], "jitter": 0})
    house.worker()
    record = await house.ends(state="succeeded")
    assert len(record.attempts) == (1 if verb == "finish" else 2)
    await house.counted(1, "tasks_settled_total", outcome="succeeded")
