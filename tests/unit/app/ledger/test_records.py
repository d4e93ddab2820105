"""The ledger's pure decisions, against the rules in words (rules 2 and 4)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.envelope import encode
from app.ledger.records import (
    About,
    AttemptRecord,
    ErrorInfo,
    Finish,
    FinishedPart,
    FinishResult,
    OpenPart,
    OpenWrite,
    Standing,
    attempt_document,
    attempt_from,
    finish_verdict,
    finish_wins,
    open_applies,
    open_verdict,
)
from app.ledger.updates import rounds
from app.names import TaskKey

KEY = TaskKey("acme", "mail", "t")
ABOUT = About("mail.send", None, None, None, 1)
RUNS = st.integers(1, 4)
PARTS = st.builds(
    OpenPart,
    run=RUNS,
    attempt=st.integers(1, 4),
    phase=st.sampled_from(["started", "failed"]),
    due_ms=st.integers(0, 2),
    lost=st.integers(0, 2),
    by=st.sampled_from("ab"),
)
STANDINGS = st.builds(
    Standing,
    request_digest=st.just("d"),
    finished_run=st.integers(0, 4),
    finished_state=st.just("dead"),
    finished_by=st.sampled_from("ab"),
    open=st.none() | PARTS,
)
OPENINGS = st.builds(
    OpenWrite,
    key=st.just(KEY),
    request_digest=st.just("d"),
    part=PARTS,
    check=st.booleans(),
    expected=st.none() | PARTS,
)
FINISHES = st.builds(
    lambda run, by: Finish(
        KEY, "d", b"", FinishedPart(run, "cancelled", 0, by, 1, None, None), ABOUT
    ),
    RUNS,
    st.sampled_from("ab"),
)
TEXT = st.text(max_size=20)
ERRORS = st.builds(ErrorInfo, TEXT, TEXT, st.booleans(), st.booleans())


@given(st.integers(0, 9), st.integers(1, 9))
def test_a_finished_write_wins_over_none_or_a_lower_run(recorded, run):
    assert finish_wins(recorded, run) == (recorded == 0 or recorded < run)


@given(st.lists(RUNS, min_size=1))
def test_the_record_ends_at_the_greatest_run_in_whatever_order(runs):
    recorded, wins = 0, []
    for run in runs:
        if finish_wins(recorded, run):
            recorded = run
            wins.append(run)
    assert recorded == max(runs)
    assert wins == sorted(set(wins))


@given(STANDINGS, RUNS)
def test_true_once_true_for_ever(standing, run):
    later = replace(standing, finished_run=standing.finished_run + 1)
    assert not standing.is_finished(run) or later.is_finished(run)
    assert standing.is_finished(run) != finish_wins(standing.finished_run, run)


@given(STANDINGS, OPENINGS)
def test_no_finished_run_is_opened(standing, write):
    if standing.is_finished(write.part.run):
        assert not open_applies(standing.finished_run, standing.open, write)


@given(st.integers(0, 4), st.none() | PARTS, OPENINGS)
def test_neither_run_nor_attempt_goes_back(finished_run, current, write):
    if current is None or not open_applies(finished_run, current, write):
        return
    assert write.part.run >= current.run
    if not write.check and write.part.run == current.run:
        assert write.part.attempt >= current.attempt


@pytest.mark.parametrize(("attempt", "applies"), [(1, False), (2, False), (3, True), (4, True)])
def test_an_earlier_attempt_of_a_run_is_too_late(attempt, applies):
    current = OpenPart(1, 3, "started", 0, 0, "a")
    write = OpenWrite(KEY, "d", OpenPart(1, attempt, "failed", 0, 0, "b"))
    assert open_applies(0, current, write) == applies


@given(st.integers(0, 4), st.none() | PARTS, OPENINGS)
def test_a_compare_and_set_applies_only_to_what_it_saw(finished_run, current, write):
    if write.check and open_applies(finished_run, current, write):
        seen = current if current and current.run == write.part.run else None
        assert seen == write.expected


@given(STANDINGS | st.none(), FINISHES)
def test_the_verdict_of_a_finished_write(standing, write):
    verdict = finish_verdict(standing, write)
    run, by = write.finished.run, write.finished.by
    if standing is None or standing.finished_run < run:
        assert verdict is None
    else:
        own = (standing.finished_run, standing.finished_by) == (run, by)
        assert verdict == FinishResult(own, standing.finished_run, "dead")


@given(STANDINGS | st.none(), OPENINGS)
def test_the_verdict_of_an_open_write_is_undecided_only_where_it_would_apply(standing, write):
    verdict = open_verdict(standing, write)
    finished_run, current = (standing.finished_run, standing.open) if standing else (0, None)
    if verdict is True:
        assert current == write.part
    else:
        assert (verdict is None) == open_applies(finished_run, current, write)


@given(STANDINGS, RUNS)
def test_the_open_part_of_a_run_is_of_that_very_run(standing, run):
    part = standing.open_of(run)
    assert part is None or (part is standing.open and part.run == run)
    if standing.open and standing.open.run == run:
        assert part is standing.open


@given(ERRORS | st.none())
def test_an_attempt_reads_back(error):
    attempt = AttemptRecord(1, 2, "worker", 3, 4, "failed", error)
    again = attempt_from(attempt_document(attempt))
    assert replace(again, error=None) == replace(attempt, error=None)
    if error is None:
        assert again.error is None
    else:
        assert again.error.message == error.message.encode(errors="replace").decode()
        assert (again.error.retryable, again.error.truncated) == (error.retryable, error.truncated)


@given(st.lists(st.sampled_from("abc").map(lambda name: TaskKey("t", "q", name)), max_size=12))
def test_rounds_hold_each_key_once_and_keep_its_order(keys):
    split = rounds(keys)
    assert sorted(index for each in split for index in each) == list(range(len(keys)))
    for each in split:
        names = [keys[index] for index in each]
        assert names
        assert len(set(names)) == len(names)
    for key in set(keys):
        order = [index for each in split for index in each if keys[index] == key]
        assert order == sorted(order)


def envelope(**context):
    return encode(
        key=KEY,
        type="mail.send",
        payload={},
        context=context,
        options={},
        run=1,
        digest="d",
        accepted_at_ms=7,
    )


def test_what_records_are_looked_for_by():
    context = {"channel": "telegram", "user": "ada", "chatId": "c-1", "traceparent": "x"}
    assert About.of(envelope(**context)) == About("mail.send", "telegram", "ada", "c-1", 7)


def test_what_a_stranger_wrote_into_the_context_is_no_text_to_look_for():
    context = {"channel": None, "user": {"$gt": ""}, "chatId": [7]}
    assert About.of(envelope(**context)) == About("mail.send", None, None, None, 7)


def test_a_chats_number_is_looked_for_by_its_digits():
    assert About.of(envelope(chatId=-42)).chat_id == "-42"
    assert About.of(envelope(chatId=True)).chat_id is None
