"""Finished writes, the same on both ledgers: one outcome a run, whoever writes how often (rule 2)."""

import asyncio
from dataclasses import replace

import pytest

from app.ledger.records import HISTORY_MAX, About, ErrorInfo, FinishResult
from app.state import FINISHED, PARKED
from tests.integration.ledger.material import (
    ABOUT,
    AT_MS,
    BOOM,
    DIGEST,
    attempt,
    finish,
    key,
    keys,
    opening,
    part,
)


async def test_everything_of_an_outcome_reads_back(ledger):
    write = finish(state="dead", result=None, error=BOOM, attempt=attempt())
    assert await ledger.finish([write]) == [FinishResult(True, 1, "dead")]
    record = await ledger.get(key())
    assert (record.key, record.request_digest, record.envelope) == (key(), DIGEST, b'{"schema":1}')
    assert record.finished == write.finished
    assert record.about == write.about == ABOUT
    assert record.open is None
    assert record.attempts == (write.attempt,)


async def test_nothing_to_write(ledger):
    assert await ledger.finish([]) == []
    assert await ledger.record_open([]) == []
    assert await ledger.ask([]) == {}


async def test_the_first_outcome_of_a_run_stays(ledger):
    first = finish(state="succeeded")
    await ledger.finish([first])
    assert await ledger.finish([finish(state="dead", attempt=attempt())]) == [
        FinishResult(False, 1, "succeeded")
    ]
    record = await ledger.get(key())
    assert record.finished == first.finished
    assert record.attempts == ()


async def test_a_later_run_replaces_the_outcome(ledger):
    await ledger.finish([finish(state="dead", error=BOOM, attempt=attempt())])
    about = About("mail.send", "$http", None, None, AT_MS)
    later = replace(finish(run=2, attempt=attempt(2)), envelope=b"newer", about=about)
    assert await ledger.finish([later]) == [FinishResult(True, 2, "succeeded")]
    record = await ledger.get(key())
    assert record.finished == later.finished
    assert (record.envelope, record.about) == (b"newer", about)
    assert record.attempts == (attempt(), attempt(2))


async def test_an_earlier_run_is_too_late(ledger):
    await ledger.finish([finish(run=3)])
    assert await ledger.finish([finish(run=2, state="dead")]) == [
        FinishResult(False, 3, "succeeded")
    ]


async def test_ones_own_repeat_is_in_force_and_adds_nothing(ledger):
    write = finish(attempt=attempt())
    await ledger.finish([write])
    assert await ledger.finish([write]) == [FinishResult(True, 1, "succeeded")]
    assert (await ledger.get(key())).attempts == (write.attempt,)


async def test_ones_own_nonce_in_another_run_is_no_repeat(ledger):
    await ledger.finish([finish(run=2, by="me")])
    assert await ledger.finish([finish(run=1, by="me")]) == [FinishResult(False, 2, "succeeded")]


async def test_answers_come_in_order(ledger):
    await ledger.finish([finish(key("t1"), state="dead"), finish(key("t3"), run=2)])
    answers = await ledger.finish([finish(each) for each in keys(5)])
    assert [(answer.won, answer.run, answer.state) for answer in answers] == [
        (True, 1, "succeeded"),
        (False, 1, "dead"),
        (True, 1, "succeeded"),
        (False, 2, "succeeded"),
        (True, 1, "succeeded"),
    ]


async def test_writes_of_one_task_in_one_call_are_taken_in_order(ledger):
    answers = await ledger.finish(
        [
            finish(key("a"), 1, "dead", attempt=attempt(1)),
            finish(key("b"), 1),
            finish(key("a"), 1, "cancelled", attempt=attempt(1)),
            finish(key("a"), 2, "suspended", attempt=attempt(2)),
            finish(key("a"), 1, "cancelled"),
            finish(key("b"), 1, "dead"),
        ]
    )
    assert answers == [
        FinishResult(True, 1, "dead"),
        FinishResult(True, 1, "succeeded"),
        FinishResult(False, 1, "dead"),
        FinishResult(True, 2, "suspended"),
        FinishResult(False, 2, "suspended"),
        FinishResult(False, 1, "succeeded"),
    ]
    assert (await ledger.get(key("a"))).attempts == (attempt(1), attempt(2))


async def test_one_task_many_times_in_one_call(ledger):
    answers = await ledger.finish([finish(key("a"), run) for run in range(1, 9)])
    assert answers == [FinishResult(True, run, "succeeded") for run in range(1, 9)]


async def test_a_large_call(ledger):
    answers = await ledger.finish([finish(each) for each in keys(1_200)])
    assert all(answer.won for answer in answers)
    standings = await ledger.ask(keys(1_200))
    assert len(standings) == 1_200


@pytest.mark.parametrize("run", [1, 2])
async def test_concurrent_outcomes_of_one_run_have_one_winner(make, run):
    ledgers = [make() for _ in range(3)]
    for each in ledgers:
        await each.open()
    # Where an earlier run is recorded they race as updates, else as inserts.
    await ledgers[0].finish([finish(task, each) for task in keys(10) for each in range(1, run)])
    for task in keys(10):
        writes = [finish(task, run, state, attempt=attempt(run)) for state in sorted(FINISHED)]
        answers = await asyncio.gather(
            *(ledgers[i % 3].finish([write]) for i, write in enumerate(writes))
        )
        winners = [write for write, (answer,) in zip(writes, answers, strict=True) if answer.won]
        record = await ledgers[0].get(task)
        assert [record.finished] == [write.finished for write in winners]
        assert {answer.state for (answer,) in answers} == {record.finished.state}
        assert len(record.attempts) == 1


async def test_concurrent_runs_end_with_the_last_whoever_inserts_first(make):
    ledgers = [make() for _ in range(2)]
    for each in ledgers:
        await each.open()
    tasks = keys(60)
    answers = await asyncio.gather(
        *(ledgers[run % 2].finish([finish(task, run)]) for task in tasks for run in (1, 2, 3))
    )
    standings = await ledgers[0].ask(tasks)
    assert {standing.finished_run for standing in standings.values()} == {3}
    # The last run meets no later one, so it can never be told that it lost.
    assert all(answer.won for (answer,) in answers[2::3])
    for (answer,) in answers:
        assert answer.won or answer.run > 1


async def test_an_outcome_wins_over_a_concurrent_first_open_record(make):
    ledgers = [make() for _ in range(2)]
    for each in ledgers:
        await each.open()
    tasks = keys(100)
    answers = await asyncio.gather(
        *(
            call
            for task in tasks
            for call in (
                ledgers[0].record_open([opening(task)]),
                ledgers[1].finish([finish(task)]),
            )
        )
    )
    assert all(answer.won for (answer,) in answers[1::2])
    for standing in (await ledgers[0].ask(tasks)).values():
        assert standing.is_finished(1)
        assert standing.open is None


async def test_two_hundred_calls_at_once(ledger):
    answers = await asyncio.gather(*(ledger.finish([finish(each)]) for each in keys(200)))
    assert all(answer.won for (answer,) in answers)
    assert len(await ledger.finished_ids("acme", "mail")) == 200


@pytest.mark.parametrize("run", [1, 2])
async def test_the_open_part_of_a_finished_run_goes(ledger, run):
    await ledger.record_open([opening(of=part(1))])
    await ledger.finish([finish(run=run)])
    assert (await ledger.get(key())).open is None


async def test_the_open_part_of_a_later_run_stays(ledger):
    later = part(run=3, n=2)
    await ledger.finish([finish(run=1, state="dead")])
    await ledger.record_open([opening(of=later)])
    assert await ledger.finish([finish(run=2, state="cancelled")]) == [
        FinishResult(True, 2, "cancelled")
    ]
    assert (await ledger.get(key())).open == later
    await ledger.finish([finish(run=3)])
    assert (await ledger.get(key())).open is None


async def test_history_is_cut_to_the_latest(ledger):
    for start in range(0, HISTORY_MAX + 10, 70):
        await ledger.finish(
            [finish(run=n, attempt=attempt(n)) for n in range(start + 1, start + 71)]
        )
    attempts = (await ledger.get(key())).attempts
    assert [each.run for each in attempts] == list(range(11, HISTORY_MAX + 11))


async def test_texts_of_strangers_are_kept_as_well_as_utf_8_can(ledger):
    error = ErrorInfo("$set", "a\x00b \ud800 ✓ $finished.run", retryable=False, truncated=True)
    write = finish(result=b"\x00\xff$x", state="dead", error=error, attempt=attempt(error=error))
    await ledger.finish([write])
    record = await ledger.get(key())
    assert record.finished.error == replace(error, message="a\x00b ? ✓ $finished.run")
    assert record.attempts[0].error == record.finished.error
    assert record.finished.result == b"\x00\xff$x"


async def test_tasks_of_other_queues_and_tenants_are_others(ledger):
    names = [("acme", "mail"), ("acme", "sms"), ("other", "mail")]
    tasks = [key()._replace(tenant=tenant, queue=queue) for tenant, queue in names]
    answers = await ledger.finish([finish(task, n + 1) for n, task in enumerate(tasks)])
    assert all(answer.won for answer in answers)
    standings = await ledger.ask(tasks)
    assert [standings[task].finished_run for task in tasks] == [1, 2, 3]
    assert await ledger.finished_ids("acme", "sms") == {"t1": "succeeded"}


async def test_parked_tasks_are_counted_by_queue(ledger):
    states = ["dead", "dead", "suspended", "succeeded", "cancelled"]
    await ledger.finish(
        [finish(task, state=state) for task, state in zip(keys(5), states, strict=True)]
    )
    await ledger.finish([finish(key("other")._replace(queue="sms"), state="dead")])
    assert await ledger.parked_counts("acme", "mail") == {"dead": 2, "suspended": 1}
    assert await ledger.parked_counts("acme", "nothing") == {"dead": 0, "suspended": 0}
    await ledger.finish([finish(key("t0"), run=2, state="discarded")])
    assert await ledger.parked_counts("acme", "mail") == {"dead": 1, "suspended": 1}


async def test_finished_ids_leave_the_open_ones_out(ledger):
    await ledger.record_open([opening(key("open")), opening(key("a:b.c-d"))])
    await ledger.finish([finish(key("a:b.c-d"), state="dead"), finish(key("x"))])
    assert await ledger.finished_ids("acme", "mail") == {"a:b.c-d": "dead", "x": "succeeded"}


async def test_the_past_of_a_parked_task_shows_in_an_ask(ledger):
    await ledger.finish([finish(state="suspended", by="me", at_ms=AT_MS)])
    (standing,) = (await ledger.ask([key(), key("unknown")])).values()
    assert (standing.finished_run, standing.finished_state, standing.finished_by) == (
        1,
        "suspended",
        "me",
    )
    assert standing.request_digest == DIGEST
    assert standing.finished_state in PARKED
    assert standing.is_finished(1)
    assert not standing.is_finished(2)
