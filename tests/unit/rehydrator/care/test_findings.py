"""Findings as tables: what the three stores say, and what that is called."""

from itertools import product

import pytest

from app.broker.recovery import Standing as RedisStanding
from app.ledger.records import OpenPart
from app.ledger.records import Standing as LedgerStanding
from rehydrator.care.findings import (
    MEANINGS,
    Finding,
    Name,
    Place,
    about_copy,
    about_live,
    counts,
    standing,
    superfluous,
)
from rehydrator.decision import Asked

OURS, OTHER = "ab" * 32, "cd" * 32
OPEN = OpenPart(1, 1, "failed", 0, 0, "x")


def redis(how, run=1, digest=OURS):
    return RedisStanding(how, 0 if how == "absent" else run, "" if how == "absent" else digest)


def ledger(finished_run, digest=OURS):
    state = "succeeded" if finished_run else ""
    return Asked(LedgerStanding(digest, finished_run, state, "by", None if finished_run else OPEN))


NO_RECORD = Asked(None)


@pytest.mark.parametrize(
    ("in_redis", "in_ledger", "name"),
    [
        (redis("present"), NO_RECORD, None),
        (redis("present"), ledger(0), None),
        (redis("present", run=2), NO_RECORD, None),
        (redis("absent"), NO_RECORD, Name.MIRRORED_NOT_LIVE),
        (redis("absent"), ledger(0), Name.MIRRORED_NOT_LIVE),
        (redis("displaced"), NO_RECORD, Name.MIRRORED_NOT_LIVE),
        (redis("absent"), ledger(1), Name.TERMINAL_NOT_RETIRED),
        (redis("absent"), ledger(2), Name.TERMINAL_NOT_RETIRED),
        (redis("present"), ledger(1), Name.TERMINAL_NOT_RETIRED),
        (redis("settled"), ledger(1), Name.TERMINAL_NOT_RETIRED),
        (redis("settled"), NO_RECORD, Name.SETTLED_NOT_RECORDED),
        (redis("settled"), ledger(0), Name.SETTLED_NOT_RECORDED),
        (redis("settled", run=2), NO_RECORD, Name.SETTLED_NOT_RECORDED),
        (redis("present"), ledger(1, OTHER), Name.ID_CONFLICT),
        (redis("present", digest=OTHER), NO_RECORD, Name.ID_CONFLICT),
        (redis("settled", digest=OTHER), NO_RECORD, Name.ID_CONFLICT),
        (redis("present", digest=OTHER), ledger(1), Name.TERMINAL_NOT_RETIRED),
        (redis("present"), None, None),
        (redis("absent"), None, None),
        (redis("settled"), None, None),
    ],
    ids=str,
)
def test_about_copies(in_redis, in_ledger, name):
    assert about_copy(1, OURS, in_redis, in_ledger) == name


@pytest.mark.parametrize(
    ("in_redis", "in_ledger", "has_copy", "is_on_the_way", "name"),
    [
        (redis("present"), None, True, False, None),
        (redis("present"), None, False, True, None),
        (redis("present"), None, False, False, Name.LIVE_NOT_MIRRORED),
        (redis("present"), ledger(0).standing, False, False, Name.LIVE_NOT_MIRRORED),
        (redis("present", run=2), ledger(1).standing, True, False, None),
        (redis("present"), ledger(1).standing, True, False, Name.RESULT_WITHOUT_TASK),
        (redis("present"), ledger(2).standing, False, False, Name.RESULT_WITHOUT_TASK),
        # Another request's outcome is not this one's.
        (redis("present"), ledger(1, OTHER).standing, True, False, None),
        (redis("settled"), None, False, False, None),
        (redis("displaced"), None, False, False, None),
        (redis("absent"), None, False, False, None),
    ],
    ids=str,
)
def test_about_live_tasks(in_redis, in_ledger, has_copy, is_on_the_way, name):
    found = about_live(in_redis, in_ledger, has_copy=has_copy, is_on_the_way=is_on_the_way)
    assert found == name


A, B = Place("g", "1-1"), Place("g", "2-1")


@pytest.mark.parametrize(
    ("copies", "latest", "gone"),
    [
        ([A, B], B, [0]),
        ([B, A], B, [1]),
        ([B, A, A], B, [1, 2]),
        ([B, B], B, [1]),
        ([A, A], B, []),
        ([A, Place("older", "2-1")], B, []),
        ([A, B], None, []),
        ([B], B, []),
    ],
    ids=str,
)
def test_of_several_copies_the_latest_stays(copies, latest, gone):
    assert superfluous(copies, latest) == gone


def test_one_copy_always_stays():
    for n in range(1, 4):
        for copies in product([A, B], repeat=n):
            for latest in (A, B, None):
                assert len(superfluous(copies, latest)) < n


def found(name, task_id, run=1):
    return Finding(name, "acme", "mail", task_id, run)


def test_only_what_both_looks_have_stands():
    first = [
        found(Name.ID_CONFLICT, "b"),
        found(Name.ID_CONFLICT, "a"),
        found(Name.ID_CONFLICT, "c"),
    ]
    second = [
        found(Name.ID_CONFLICT, "a"),
        found(Name.ID_CONFLICT, "b"),
        found(Name.ID_CONFLICT, "c", 2),
    ]
    assert standing(first, second) == [found(Name.ID_CONFLICT, "a"), found(Name.ID_CONFLICT, "b")]


def test_they_are_counted_by_name():
    many = [found(Name.LIVE_NOT_MIRRORED, "a"), found(Name.LIVE_NOT_MIRRORED, "b")]
    assert counts([*many, found(Name.DUPLICATE_COPY, "a")]) == {
        "LIVE_NOT_MIRRORED": 2,
        "DUPLICATE_COPY": 1,
    }


def test_each_has_a_meaning_and_a_repair():
    assert set(MEANINGS) == set(Name)
