import pytest

from app.broker.delivery import Entry
from app.ledger.records import AttemptRecord, OpenPart, Standing
from app.worker.verdict import (
    Verdict,
    is_suspect,
    judge,
    losses,
    lost_attempt,
    needs_ask,
    nonce_of,
    open_part,
    worker_of,
)
from tests.support.envelopes import envelope

TOKEN = "this-generation"
FIRST = {
    "lane": 2,
    "entry_id": "5-1",
    "task_id": "a",
    "run": 1,
    "generation": TOKEN,
    "fresh": True,
    "envelope": b"{}",
    "reclaimed": False,
}


def entry(**changes):
    return Entry(**{**FIRST, **changes})


def standing(*, digest=None, finished_run=0, open=None):
    return Standing(digest or envelope().request_digest, finished_run, "succeeded", "x", open)


def test_a_first_delivery_under_a_fresh_id_needs_no_ask():
    assert not needs_ask(entry(), TOKEN)


@pytest.mark.parametrize(
    "changes", [{"fresh": False}, {"run": 2}, {"generation": "an-older-one"}, {"reclaimed": True}]
)
def test_every_other_entry_must_be_asked_about(changes):
    assert needs_ask(entry(**changes), TOKEN)


@pytest.mark.parametrize(
    ("changes", "marked", "suspect"),
    [
        ({}, False, False),
        ({"fresh": False}, False, False),
        ({"run": 2}, False, False),
        ({}, True, True),
        ({"reclaimed": True}, False, True),
        ({"generation": "an-older-one"}, False, True),
    ],
)
def test_only_suspects_need_an_open_record(changes, marked, suspect):
    assert is_suspect(entry(**changes), TOKEN, marked=marked) == suspect


@pytest.mark.parametrize(
    ("run", "known", "verdict"),
    [
        (1, None, Verdict.RUN),
        (1, standing(), Verdict.RUN),
        (1, standing(finished_run=1), Verdict.FINISHED),
        (1, standing(finished_run=2), Verdict.FINISHED),
        (2, standing(finished_run=1), Verdict.RUN),
        (1, standing(digest="another"), Verdict.CONFLICT),
        (1, standing(digest="another", finished_run=1), Verdict.CONFLICT),
    ],
)
def test_what_the_ledger_knows_decides(run, known, verdict):
    assert judge(envelope(run=run), known) == verdict


def test_only_the_open_part_of_the_very_run_counts():
    part = OpenPart(2, 3, "failed", 7, lost=0, by="x")
    assert open_part(envelope(run=2), standing(open=part)) == part
    assert open_part(envelope(run=1), standing(open=part)) is None
    assert open_part(envelope(run=3), standing(open=part)) is None
    assert open_part(envelope(), None) is None


RUNNING = {
    "state": "running",
    "entry": "5-1",
    "attempt": "2",
    "worker": "w1",
    "started": "1000",
    "nonce": "theirs",
}


def test_the_running_attempt_of_a_silent_worker_is_lost():
    lost = lost_attempt(RUNNING, entry(reclaimed=True), "ours", 5_000)
    assert (lost.run, lost.attempt, lost.worker, lost.outcome) == (1, 2, "w1", "lost")
    assert (lost.started_at, lost.finished_at) == (1_000, 5_000)


@pytest.mark.parametrize(
    "changes", [{"state": "queued"}, {"entry": "6-1"}, {"nonce": "ours"}, {"state": "retrying"}]
)
def test_no_attempt_is_lost_that_did_not_run(changes):
    assert lost_attempt({**RUNNING, **changes}, entry(reclaimed=True), "ours", 5_000) is None


def part(attempt, phase="started", lost=0):
    return OpenPart(1, attempt, phase, 1_000, lost=lost, by=nonce_of("w1", 7))


def seen(attempt):
    return AttemptRecord(1, attempt, "w2", 2_000, 5_000, "lost")


@pytest.mark.parametrize(
    ("known", "shown", "count", "latest"),
    [
        (None, None, 0, None),
        (None, seen(1), 1, seen(1)),
        (part(1, "failed"), None, 0, None),
        (part(1, "failed", lost=2), None, 2, None),
        (part(1, "failed", lost=1), seen(2), 2, seen(2)),
        # Its failure is recorded: it has its outcome, whatever became of its worker then.
        (part(2, "failed", lost=1), seen(2), 1, None),
        (part(1), seen(1), 1, seen(1)),
        (part(2, lost=1), seen(2), 2, seen(2)),
        # Both left no word.
        (part(1), seen(2), 2, seen(2)),
        (part(1), None, 1, AttemptRecord(1, 1, "w1", 1_000, 9_000, "lost")),
        (part(3, lost=1), seen(2), 2, AttemptRecord(1, 3, "w1", 1_000, 9_000, "lost")),
    ],
)
def test_what_left_no_word_was_lost(known, shown, count, latest):
    assert losses(known, shown, 1, {"w3"}, 9_000) == (count, latest)


@pytest.mark.parametrize(
    ("known", "shown", "alive", "count"),
    [
        (None, seen(1), "w2", 0),
        (part(1, "failed", lost=1), seen(2), "w2", 1),
        (part(1), None, "w1", 0),
        (part(2, lost=2), None, "w1", 2),
    ],
)
def test_an_attempt_of_a_living_worker_did_not_cost_its_worker(known, shown, alive, count):
    found, latest = losses(known, shown, 1, {"w3", alive}, 9_000)
    assert found == count
    assert (latest.worker, latest.outcome) == (alive, "lost")


def test_a_nonce_tells_whose_it_is():
    assert worker_of(nonce_of("host-1-ab", 12)) == "host-1-ab"
    assert worker_of("somebody") == ""
