"""What becomes of a task: run once, retried, given up, refused, timed out; ledger first."""

import asyncio
import threading

import orjson
import pytest

from app.registry import Discard, Retry, Suspend, TaskRegistry
from app.retry import RetryPolicy
from tests.integration.worker.house import TYPE, Payload
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

SOON = {"delaysMs": [10, 10], "jitter": 0}


class Trouble(Exception):
    pass


def raising(error):
    def do(payload, context):
        raise error

    return do


async def test_a_task_runs_once_and_its_result_is_recorded(house):
    house.mail.do = lambda payload, _context: {"sent": payload.to}
    await house.submit_one(payload={"to": "ünï"})
    house.worker()
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]
    assert orjson.loads(record.finished.result) == {"sent": "ünï"}
    assert record.envelope == envelope("a", payload={"to": "ünï"}).raw
    (attempt,) = record.attempts
    assert (attempt.run, attempt.attempt, attempt.outcome) == (1, 1, "succeeded")
    assert attempt.started_at <= attempt.finished_at
    assert await house.ready() == 0
    await house.counted(1, "tasks_settled_total", outcome="succeeded")
    await house.counted(1, "task_duration_seconds_count", type=TYPE, outcome="succeeded")
    await house.counted(1, "task_pickup_latency_seconds_count")


async def test_the_ledger_has_the_outcome_before_redis_is_told(house):
    seen = []

    async def look(writes):
        seen.append((await house.state(), await house.ready()))

    house.ledger.before["finish"] = look
    await house.submit_one()
    house.worker()
    await house.ends()
    assert seen == [("running", 1)]


async def test_every_task_of_many_runs_once(house):
    await house.submit(*(envelope(f"t{n}") for n in range(300)))
    house.worker(concurrency=16)
    house.worker(concurrency=16)
    await eventually(house.is_idle)
    ids = [task_id for task_id, _, _ in house.mail.calls]
    assert sorted(ids) == sorted(f"t{n}" for n in range(300))
    assert set((await house.ledger.finished_ids("acme", "mail")).values()) == {"succeeded"}


async def test_no_more_run_at_a_time_than_the_worker_has_slots(house):
    now, most = 0, 0

    async def slowly(payload, context):
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.01)
        now -= 1

    house.mail.do = slowly
    await house.submit(*(envelope(f"t{n}") for n in range(20)))
    house.worker(concurrency=3)
    await eventually(house.is_idle)
    assert most == 3
    assert len(house.mail.calls) == 20


async def test_a_failed_task_is_tried_again_after_its_delay_and_succeeds(house):
    dues = []

    def twice(payload, context):
        if context.attempt < 3:
            raise Trouble("not yet")
        return "done"

    async def note(writes):
        dues.extend((write.part.phase, write.part.attempt) for write in writes)
        assert await house.is_state("a", "running")

    house.mail.do = twice
    house.ledger.before["record_open"] = note
    await house.submit_one(retry=SOON)
    house.worker()
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 2), ("a", 1, 3)]
    # Each failure stood in the ledger before the retry was scheduled in Redis (rule 4).
    assert dues == [("failed", 1), ("failed", 2)]
    assert [each.outcome for each in record.attempts] == ["failed", "failed", "succeeded"]
    assert record.attempts[0].error.type == "Trouble"
    assert record.open is None


async def test_a_retry_waits_for_its_due_time(house):
    house.mail.do = raising(Trouble("no"))
    await house.submit_one(retry={"delaysMs": [3_600_000], "jitter": 0})
    house.worker()
    await eventually(lambda: house.is_state("a", "retrying"))
    fields = await house.fields()
    record = await house.record()
    assert record.open.due_ms == int(fields["due"]) >= int(fields["started"]) + 3_600_000
    assert len(house.mail.calls) == 1


async def test_a_handler_may_choose_its_own_delay(house):
    house.mail.do = raising(Retry("busy", after=7_200))
    await house.submit_one(retry=SOON)
    house.worker()
    await eventually(lambda: house.is_state("a", "retrying"))
    fields = await house.fields()
    assert int(fields["due"]) >= int(fields["started"]) + 7_200_000


async def test_attempts_that_are_used_up_end_dead(house):
    house.mail.do = raising(Trouble("never"))
    await house.submit_one(retry=SOON)
    house.worker()
    record = await house.ends(state="dead")
    assert [call[2] for call in house.mail.calls] == [1, 2, 3]
    assert record.finished.error.message == "never"
    assert record.finished.attempt == 3


async def test_the_types_policy_holds_where_the_task_has_none(house):
    house.mail.do = raising(Trouble("never"))
    await house.submit_one()
    house.worker(registry=house.mail.registry(retry=RetryPolicy(max_attempts=1)))
    await house.ends(state="dead")
    assert len(house.mail.calls) == 1


async def test_a_discarded_task_is_dead_at_once(house):
    house.mail.do = raising(Discard("no such address"))
    await house.submit_one(retry=SOON)
    house.worker()
    record = await house.ends(state="dead")
    assert len(house.mail.calls) == 1
    assert (record.finished.error.type, record.finished.error.retryable) == ("discard", False)


async def test_a_suspended_task_waits_for_a_person(house):
    house.mail.do = raising(Suspend("needs approval"))
    await house.submit_one(retry=SOON)
    house.worker()
    record = await house.ends(state="suspended")
    assert record.finished.error.message == "needs approval"


async def test_an_attempt_over_its_timeout_is_cancelled_and_recorded_as_timeout(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)
    await house.submit_one(timeoutMs=100, retry={"maxAttempts": 1})
    house.worker()
    record = await house.ends(state="dead")
    assert house.mail.cancelled == ["a"]
    assert record.attempts[0].outcome == "timeout"
    assert record.finished.error.type == "timeout"


async def test_a_handlers_own_timeout_error_is_an_ordinary_failure(house):
    house.mail.do = raising(TimeoutError("theirs"))
    await house.submit_one(retry={"maxAttempts": 1})
    house.worker()
    record = await house.ends(state="dead")
    assert record.attempts[0].outcome == "failed"


async def test_an_invalid_payload_is_dead_at_once_and_names_its_fields(house):
    await house.submit_one(payload={"from": "x"}, retry=SOON)
    house.worker()
    record = await house.ends(state="dead")
    assert house.mail.calls == []
    assert record.finished.error.type == "invalid_payload"
    assert record.finished.error.message == "#/payload/to: Is required."


async def test_a_task_of_an_unknown_type_is_suspended_unrun(house):
    await house.submit_one()
    house.worker(registry=TaskRegistry())
    record = await house.ends(state="suspended")
    assert record.finished.error.type == "unknown_type"
    assert record.attempts == ()


async def test_an_expired_task_ends_unrun(house):
    await house.submit_one(expiresAt=1)
    house.worker()
    record = await house.ends(state="expired")
    assert house.mail.calls == []
    assert record.attempts == ()


async def test_a_plain_function_runs_in_a_thread(house):
    registry, seen = TaskRegistry(), []

    @registry.task(TYPE, payload=Payload)
    def send(payload):
        seen.append(threading.current_thread() is threading.main_thread())
        return {"to": payload.to}

    await house.submit_one()
    house.worker(registry=registry)
    record = await house.ends(state="succeeded")
    assert seen == [False]
    assert orjson.loads(record.finished.result) == {"to": "x"}


async def test_a_handler_that_leaves_the_program_only_fails_its_attempt(house):
    house.mail.do = raising(SystemExit(3))
    await house.submit_one(retry={"maxAttempts": 1})
    house.worker()
    record = await house.ends(state="dead")
    assert record.finished.error.type == "SystemExit"


@pytest.mark.parametrize("text", ["x" * 5_000, "ü" * 5_000, "lone \ud800 surrogate"])
async def test_error_texts_are_bounded_and_storable(house, text):
    house.mail.do = raising(Trouble(text))
    await house.submit_one(retry={"maxAttempts": 1})
    house.worker()
    error = (await house.ends(state="dead")).finished.error
    assert len(error.message.encode()) <= 4_096
    assert error.truncated == (len(text) > 4_096)


async def test_a_scheduled_task_waits_for_its_time(house):
    await house.submit_one(notBefore=1_000)
    await house.submit_one("later", notBefore=4_000_000_000_000)
    house.worker()
    await house.ends("a")
    assert await house.is_state("later", "scheduled")


async def test_low_priority_does_not_starve(house):
    async def more(payload, context):
        if len(house.mail.calls) < 200:
            await house.submit_one(f"high-{len(house.mail.calls)}", priority="high")

    house.mail.do = more
    await house.submit_one("low", priority="low")
    await house.submit(*(envelope(f"first-{n}", priority="high") for n in range(3)))
    house.worker(concurrency=1)
    await house.ends("low")
    assert len(house.mail.calls) < 100


async def test_urgent_tasks_go_first(house):
    await house.submit_one("low", priority="low")
    await house.submit_one("normal")
    await house.submit_one("high", priority="high")
    house.worker(concurrency=1)
    await eventually(house.is_idle)
    assert [call[0] for call in house.mail.calls] == ["high", "normal", "low"]


async def test_a_paused_queue_starts_nothing(house):
    token = await house.token()
    await house.raw.hset(house.keys.generation, "paused", "1")
    assert await house.token() == token
    await house.submit_one()
    worker = house.worker()
    await eventually(lambda: worker.works and worker.works[0].cursors)
    assert house.mail.calls == []
    assert await house.is_state("a", "queued")
    await house.raw.hset(house.keys.generation, "paused", "0")
    await house.ends()


async def test_a_new_queue_is_found_while_working(house):
    worker = house.worker()
    await eventually(lambda: len(worker.works) == 1)
    await house.ledger.ensure_queue("acme", "other", 10)
    await eventually(lambda: len(worker.works) == 2)
