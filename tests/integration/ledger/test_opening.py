"""Open records, the same on both ledgers: attempts of unfinished runs outlive Redis (rule 4)."""

import asyncio
from dataclasses import replace

import pytest

from app.ledger.records import HISTORY_MAX
from tests.integration.ledger.material import DIGEST, attempt, finish, key, keys, opening, part


async def put(ledger, *parts):
    for each in parts:
        assert await ledger.record_open([opening(of=each)]) == [True]
    return parts[-1]


async def current(ledger, task=None):
    standing = (await ledger.ask([task or key()])).get(task or key())
    return standing and standing.open


async def test_an_open_record_reads_back(ledger):
    of = part(n=3, phase="failed", due_ms=1_900_000_000_000, lost=3)
    write = opening(of=of, attempt=attempt(n=3, outcome="lost", error=None))
    assert await ledger.record_open([write]) == [True]
    record = await ledger.get(key())
    assert (record.open, record.finished, record.envelope) == (of, None, None)
    assert (record.request_digest, record.attempts) == (DIGEST, (write.attempt,))
    assert record.about is None
    (standing,) = (await ledger.ask([key()])).values()
    assert (standing.finished_run, standing.finished_state, standing.finished_by) == (0, "", "")
    assert standing.open == standing.open_of(1) == of
    assert standing.open_of(2) is None
    assert not standing.is_finished(1)


async def test_attempts_only_grow(ledger):
    second = await put(ledger, part(n=1), part(n=1, phase="failed"), part(n=2))
    assert await ledger.record_open([opening(of=part(n=1))]) == [False]
    assert await current(ledger) == second
    third = await put(ledger, part(n=3))
    assert await current(ledger) == third


async def test_a_later_run_starts_from_its_own_attempts(ledger):
    await put(ledger, part(run=1, n=7))
    second = await put(ledger, part(run=2, n=1))
    assert await ledger.record_open([opening(of=part(run=1, n=8))]) == [False]
    assert await current(ledger) == second


async def test_ones_own_repeat_is_in_force_and_adds_nothing(ledger):
    write = opening(of=part(phase="failed"), attempt=attempt())
    assert await ledger.record_open([write]) == [True]
    assert await ledger.record_open([write]) == [True]
    assert await ledger.record_open([replace(write, check=True)]) == [True]
    assert len((await ledger.get(key())).attempts) == 1


async def test_a_finished_run_is_not_opened_again(ledger):
    await ledger.finish([finish(run=2, state="dead")])
    for run in (1, 2):
        assert await ledger.record_open([opening(of=part(run))]) == [False]
        assert await ledger.record_open([opening(of=part(run), expected=None)]) == [False]
    assert await current(ledger) is None


async def test_it_stands_beside_an_older_outcome(ledger):
    await ledger.finish([finish(run=1, state="dead", by="old")])
    of = await put(ledger, part(run=2))
    record = await ledger.get(key())
    assert (record.finished.run, record.finished.by, record.open) == (1, "old", of)
    (standing,) = (await ledger.ask([key()])).values()
    assert standing.is_finished(1)
    assert standing.open_of(2) == of


async def test_compare_and_set_on_nothing(ledger):
    mine = part()
    assert await ledger.record_open([opening(of=mine, expected=None)]) == [True]
    assert await ledger.record_open([opening(of=part(n=2), expected=None)]) == [False]
    assert await current(ledger) == mine


async def test_compare_and_set_on_what_was_seen(ledger):
    seen = await put(ledger, part(n=1))
    mine = part(n=2)
    assert await ledger.record_open([opening(of=mine, expected=seen)]) == [True]
    assert await ledger.record_open([opening(of=part(n=2), expected=seen)]) == [False]
    assert await current(ledger) == mine


@pytest.mark.parametrize(
    "change", [{"n": 2}, {"phase": "failed"}, {"due_ms": 5}, {"lost": 1}, {"by": "other"}]
)
async def test_compare_and_set_compares_every_member(ledger, change):
    seen = await put(ledger, part(by="me"))
    other = part(**({"by": "me"} | change))
    assert await ledger.record_open([opening(of=part(n=9), expected=other)]) == [False]
    assert await current(ledger) == seen


async def test_compare_and_set_needs_what_it_expects(ledger):
    assert await ledger.record_open([opening(of=part(n=2), expected=part())]) == [False]
    assert await ledger.get(key()) is None
    assert await ledger.ask([key()]) == {}


async def test_compare_and_set_of_another_run_expects_nothing(ledger):
    first = await put(ledger, part(run=1))
    # What stands there of another run is not what this run expects, even if it is equal to it.
    assert await ledger.record_open([opening(of=part(run=2), expected=first)]) == [False]
    assert await ledger.record_open([opening(of=part(run=2), expected=None)]) == [True]


@pytest.mark.parametrize("seen", [None, part()])
async def test_concurrent_compare_and_set_has_one_winner(make, seen):
    ledgers = [make() for _ in range(2)]
    for each in ledgers:
        await each.open()
    for task in keys(20):
        if seen:
            await ledgers[0].record_open([opening(task, of=seen)])
        parts = [part(n=2) for _ in range(8)]
        answers = await asyncio.gather(
            *(
                ledgers[i % 2].record_open(
                    [opening(task, of=each, expected=seen, attempt=attempt(n=2))]
                )
                for i, each in enumerate(parts)
            )
        )
        winners = [each for each, (won,) in zip(parts, answers, strict=True) if won]
        assert [await current(ledgers[0], task)] == winners
        assert len((await ledgers[0].get(task)).attempts) == 1


async def test_concurrent_attempts_end_with_the_greatest(make):
    ledgers = [make() for _ in range(2)]
    for each in ledgers:
        await each.open()
    tasks = keys(30)
    answers = await asyncio.gather(
        *(
            ledgers[n % 2].record_open([opening(task, of=part(n=n))])
            for task in tasks
            for n in (1, 2, 3)
        )
    )
    assert all(won for (won,) in answers[2::3])
    assert {s.open.attempt for s in (await ledgers[0].ask(tasks)).values()} == {3}


async def test_writes_of_one_task_in_one_call_are_taken_in_order(ledger):
    first, second = part(n=1), part(n=2)
    writes = [
        opening(key("a"), of=first, attempt=attempt(n=1)),
        opening(key("b"), of=first),
        opening(key("a"), of=second, expected=first, attempt=attempt(n=2)),
        opening(key("a"), of=part(n=1)),
        opening(key("a"), of=second),
    ]
    assert await ledger.record_open(writes) == [True, True, True, False, True]
    assert await current(ledger, key("a")) == second
    assert [each.attempt for each in (await ledger.get(key("a"))).attempts] == [1, 2]


async def test_a_refused_write_leaves_no_trace(ledger):
    await ledger.finish([finish(run=5)])
    await ledger.record_open([opening(of=part(run=5), attempt=attempt(5))])
    assert (await ledger.get(key())).attempts == ()


async def test_history_is_cut_to_the_latest(ledger):
    for n in range(1, HISTORY_MAX + 4):
        await ledger.record_open([opening(of=part(n=n), attempt=attempt(n=n))])
    attempts = (await ledger.get(key())).attempts
    assert [each.attempt for each in attempts] == list(range(4, HISTORY_MAX + 4))


async def test_two_hundred_calls_at_once(ledger):
    answers = await asyncio.gather(*(ledger.record_open([opening(each)]) for each in keys(200)))
    assert answers == [[True]] * 200
    assert len(await ledger.ask(keys(200))) == 200
