"""Parked records whose next run is open, the same on both ledgers: neither listed nor counted."""

import asyncio

import pytest

from app.ledger.records import RecordQuery
from app.ledger.selects import PARKED_COUNTS
from app.names import QueueName
from tests.integration.ledger.material import AT_MS, attempt, finish, key, keys, opening, part

PARKED = RecordQuery("acme", "mail", frozenset({"dead", "suspended"}))


async def counts(ledger):
    return dict(await ledger.parked_counts("acme", "mail"))


async def listed(ledger, **more):
    return [each.key.task_id for each in (await ledger.search(PARKED, **more)).items]


@pytest.fixture
async def parked(ledger):
    """Run 1 of ``a`` is dead, run 4 of ``b`` is suspended; their neighbours are none of ours."""
    await ledger.finish(
        [
            finish(key("a"), 1, "dead", at_ms=AT_MS + 1, attempt=attempt()),
            finish(key("b"), 4, "suspended"),
            finish(key("c"), 1, "succeeded"),
            finish(key("a", QueueName("acme", "sms")), 1, "dead"),
            finish(key("a", QueueName("other", "mail")), 1, "dead"),
        ]
    )
    return ledger


async def test_parked_ones_are_counted_by_queue_and_state(parked):
    assert await counts(parked) == {"dead": 1, "suspended": 1}
    assert await parked.parked_counts("acme", "nothing") == {"dead": 0, "suspended": 0}
    assert await listed(parked) == ["a", "b"]


async def test_one_whose_next_run_is_open_waits_for_nobody(parked):
    before = await parked.get(key("a"))
    for _ in range(2):
        await parked.note_redriven([(key("a"), 2), (key("b"), 5)])
        assert await counts(parked) == {"dead": 0, "suspended": 0}
        assert await listed(parked) == []
    assert await listed(parked, include_redriven=True) == ["a", "b"]
    record = await parked.get(key("a"))
    assert (before.redriven, record.redriven) == (False, True)
    assert (record.finished, record.attempts) == (before.finished, before.attempts)
    # The run that ended stays so: nothing of it is run again.
    assert (await parked.ask([key("a")]))[key("a")].is_finished(1)
    assert await parked.parked_counts("acme", "sms") == {"dead": 1, "suspended": 0}
    assert await parked.parked_counts("other", "mail") == {"dead": 1, "suspended": 0}


@pytest.mark.parametrize("run", [1, 3, 4])
async def test_a_run_that_is_over_already_is_not_open(parked, run):
    await parked.note_redriven([(key("b"), run)])
    assert await counts(parked) == {"dead": 1, "suspended": 1}
    assert not (await parked.get(key("b"))).redriven


async def test_it_is_seen_again_when_the_new_run_parks(parked):
    await parked.note_redriven([(key("a"), 2)])
    await parked.record_open([opening(key("a"), of=part(run=2), attempt=attempt(2))])
    assert await counts(parked) == {"dead": 0, "suspended": 1}
    await parked.finish([finish(key("a"), 2, "suspended")])
    assert await counts(parked) == {"dead": 0, "suspended": 2}
    assert not (await parked.get(key("a"))).redriven
    # A note that comes late changes nothing any more.
    await parked.note_redriven([(key("a"), 2)])
    assert await counts(parked) == {"dead": 0, "suspended": 2}


@pytest.mark.parametrize("state", ["succeeded", "discarded"])
async def test_the_end_of_the_new_run_clears_it(parked, state):
    await parked.note_redriven([(key("a"), 2)])
    await parked.finish([finish(key("a"), 2, state)])
    record = await parked.get(key("a"))
    assert (record.finished.run, record.finished.state, record.redriven) == (2, state, False)
    assert await counts(parked) == {"dead": 0, "suspended": 1}


async def test_a_late_outcome_of_the_run_before_does_not_clear_it(parked):
    await parked.note_redriven([(key("a"), 2)])
    (answer,) = await parked.finish([finish(key("a"), 1, "cancelled")])
    assert not answer.won
    assert await counts(parked) == {"dead": 0, "suspended": 1}


async def test_no_record_is_made_of_a_note(ledger):
    await ledger.note_redriven([])
    await ledger.record_open([opening(key("open"))])
    await ledger.note_redriven([(key("open"), 2), (key("none"), 2)])
    assert await ledger.get(key("none")) is None
    assert not (await ledger.get(key("open"))).redriven
    await ledger.finish([finish(key("open"), 1, "dead")])
    assert await counts(ledger) == {"dead": 1, "suspended": 0}


async def test_notes_race_with_outcomes_and_never_hide_a_new_one(make):
    ledgers = [make() for _ in range(2)]
    for each in ledgers:
        await each.open()
    tasks = keys(60)
    await ledgers[0].finish([finish(task, 1, "dead") for task in tasks])
    await asyncio.gather(
        *(
            call
            for task in tasks
            for call in (
                ledgers[0].note_redriven([(task, 2)]),
                ledgers[1].finish([finish(task, 2, "dead")]),
            )
        )
    )
    assert await counts(ledgers[0]) == {"dead": 60, "suspended": 0}


async def test_counting_reads_an_index_alone(parked, kind):
    if kind == "mongo":
        await parked._records.database.command("profile", 2)
        await counts(parked)
        await parked._records.database.command("profile", 0)
        profile = parked._records.database["system.profile"]
        found = await profile.find({"command.aggregate": "records"}).to_list(None)
        assert len(found) == 2
        assert {each["docsExamined"] for each in found} == {0}
    else:
        plan = await parked._run(
            lambda db: db.execute(
                f"EXPLAIN QUERY PLAN {PARKED_COUNTS}", ("acme", "mail")
            ).fetchall()
        )
        assert all("COVERING INDEX" in row["detail"] for row in plan)
