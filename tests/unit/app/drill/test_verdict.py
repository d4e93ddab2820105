"""The books are compared by rules of their own; each kind of wrong must be seen."""

import dataclasses

import pytest

from app.drill.producers import Book
from app.drill.verdict import Arrival, Evidence, Fault, Recorded, judge


@pytest.fixture
def good():
    """Two accepted tasks, both executed and recorded; one fault with work in flight."""
    book = Book()
    for number, task_id in enumerate(("a", "b")):
        book.submitted[task_id] = 1_000
        book.accepted[task_id] = 1_100 + number * 4_000
        book.last_word[task_id] = "accepted"
    return Evidence(
        book=book,
        arrivals=[
            Arrival("t/q/a", 503, 1_500),
            Arrival("t/q/a", 200, 4_000),
            Arrival("t/q/b", 200, 6_000),
        ],
        recorded={"a": Recorded("succeeded", 1), "b": Recorded("succeeded", 1)},
        copies_left=0,
        restored=1,
        rpo_tasks=1,
        rpo_seconds=0.2,
        planned_faults=1,
        faults=[Fault("wipe", 2_000, 3_000, {"queued": 3, "running": 0})],
    )


def verdict(evidence, durability="mirrored"):
    return judge(evidence, scenario="s", seed=1, durability=durability, versions={})


def test_a_good_game(good):
    document = verdict(good)
    assert document["verdict"] == "ok"
    assert (document["submitted"], document["accepted"], document["executed"]) == (2, 2, 2)
    assert (document["lost"], document["phantom"], document["duplicateExecutions"]) == (0, 0, 0)
    assert document["rtoFirstSeconds"] == 2.0
    assert document["rtoAllSeconds"] == 2.0


@pytest.mark.parametrize(
    ("change", "figure", "value"),
    [
        ({"arrivals": [], "recorded": {"a": Recorded("dead", 0)}}, "lost", 1),
        ({"recorded": {"a": Recorded("succeeded", 2)}}, "duplicateResults", 1),
        ({"copies_left": 3}, "copiesLeft", 3),
        ({"copies_left": -1}, "copiesLeft", -1),
        ({"faults": []}, "rtoFirstSeconds", None),
        ({"faults": [Fault("wipe", 2_000, 3_000, {"queued": 0})]}, "lost", 0),
    ],
)
def test_what_fails_a_game(good, change, figure, value):
    document = verdict(dataclasses.replace(good, **change))
    assert document[figure] == value
    assert document["verdict"] == "failed"


def test_a_task_nobody_submitted_is_a_phantom(good):
    good.arrivals = [*good.arrivals, Arrival("t/q/zzz", 200, 5_000)]
    assert verdict(good)["phantom"] == 1
    assert verdict(good)["verdict"] == "failed"


def test_a_task_recorded_but_never_executed_is_not_lost(good):
    good.arrivals = [Arrival("t/q/a", 200, 4_000)]
    assert (verdict(good)["lost"], verdict(good)["verdict"]) == (0, "ok")


def test_executing_twice_is_counted_and_allowed(good):
    good.arrivals = [*good.arrivals, Arrival("t/q/a", 200, 5_000)]
    assert (verdict(good)["duplicateExecutions"], verdict(good)["verdict"]) == (1, "ok")


def test_fast_may_lose_no_more_than_the_rpo_showed(good):
    good.arrivals, good.recorded = [Arrival("t/q/b", 200, 4_000)], {}
    assert verdict(good, "fast")["verdict"] == "ok"
    assert verdict(good, "mirrored")["verdict"] == "failed"
    good.rpo_tasks = 0
    assert verdict(good, "fast")["verdict"] == "failed"
