"""The books are compared by rules of their own; each kind of wrong must be seen."""

import dataclasses

import pytest

from app.drill.ends import Arrival, Fault, Recorded, Seen
from app.drill.producers import Book, answer_of
from app.drill.verdict import Evidence, Sample, judge


@pytest.fixture
def good():
    """Two accepted tasks, both executed and recorded; one fault with work in flight."""
    book = Book()
    for number, task_id in enumerate(("a", "b")):
        book.submitted[task_id] = book.possible[task_id] = 1_000
        book.accepted[task_id] = 1_100 + number * 4_000
        book.last_word[task_id] = "accepted"
    return Evidence(
        book=book,
        arrivals=[
            Arrival("t/q/a", 503, 1_500),
            Arrival("t/q/a", 200, 4_000),
            Arrival("t/q/b", 200, 6_000),
        ],
        recorded={"a": Recorded("succeeded", 1, 4_100), "b": Recorded("succeeded", 1, 6_100)},
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
    assert (document["verdict"], document["why"]) == ("ok", [])
    assert (document["submitted"], document["accepted"], document["executed"]) == (2, 2, 2)
    assert (document["lost"], document["phantom"], document["duplicateExecutions"]) == (0, 0, 0)
    assert document["rtoFirstSeconds"] == 2.0
    assert document["rtoAllSeconds"] == 2.0


def test_work_that_goes_on_during_a_fault_is_recovered_then(good):
    good.faults = [Fault("rabbitmq killed", 2_000, 5_000, {"running": 1})]
    document = verdict(good)
    assert (document["rtoFirstSeconds"], document["rtoAllSeconds"]) == (4.0, 2.0)


@pytest.mark.parametrize(
    ("change", "figure", "value"),
    [
        ({"arrivals": [], "recorded": {"a": Recorded("dead", 0)}}, "lost", 1),
        ({"recorded": {"a": Recorded("succeeded", 2)}}, "duplicateResults", 1),
        ({"copies_left": 3}, "copiesLeft", 3),
        ({"copies_left": -1}, "copiesLeft", -1),
        ({"open_left": 2}, "openLeft", 2),
        ({"open_left": -1}, "openLeft", -1),
        ({"planned_faults": 0, "faults": []}, "lost", 0),
        ({"faults": []}, "rtoFirstSeconds", None),
        ({"faults": [Fault("wipe", 2_000, 3_000, {"queued": 0})]}, "lost", 0),
    ],
)
def test_what_fails_a_game(good, change, figure, value):
    document = verdict(dataclasses.replace(good, **change))
    assert document[figure] == value
    assert document["verdict"] == "failed"
    assert document["why"]


def test_a_task_nobody_submitted_is_a_phantom(good):
    good.arrivals = [*good.arrivals, Arrival("t/q/zzz", 200, 5_000)]
    assert verdict(good)["phantom"] == 1
    assert verdict(good)["verdict"] == "failed"


def test_a_task_recorded_as_succeeded_without_an_effect_is_not_lost_but_wrong(good):
    good.arrivals = [Arrival("t/q/a", 200, 4_000)]
    document = verdict(good)
    assert (document["lost"], document["unearned"], document["verdict"]) == (0, 1, "failed")


@pytest.mark.parametrize("state", ["cancelled", "expired", "discarded", "suspended"])
def test_nobody_asked_for_such_an_end(good, state):
    good.recorded = {**good.recorded, "a": Recorded(state, 0, 4_100)}
    assert (verdict(good)["unearned"], verdict(good)["verdict"]) == (1, "failed")


def test_a_task_is_dead_only_after_more_failures_than_the_receiver_makes(good):
    good.recorded = {**good.recorded, "a": Recorded("dead", 0, 4_100, failures=2)}
    assert (verdict(good)["unearned"], verdict(good)["verdict"]) == (1, "failed")
    good.recorded = {**good.recorded, "a": Recorded("dead", 0, 4_100, failures=3)}
    assert (verdict(good)["unearned"], verdict(good)["verdict"]) == (0, "ok")


def test_a_body_must_arrive_as_it_was_submitted(good):
    good.book.digests = {"a": "1", "b": "2"}
    good.arrivals = [dataclasses.replace(each, digest="1") for each in good.arrivals]
    assert (verdict(good)["altered"], verdict(good)["verdict"]) == (1, "failed")
    good.book.digests["b"] = "1"
    assert (verdict(good)["altered"], verdict(good)["verdict"]) == (0, "ok")


@pytest.mark.parametrize(
    "now", [None, Recorded("succeeded", 1, 4_101), Recorded("dead", 0, 4_100, failures=8)]
)
def test_a_record_that_is_not_what_it_was_is_a_second_result(good, now):
    good.seen = {each: Seen(found, 0) for each, found in good.recorded.items()}
    assert (verdict(good)["duplicateResults"], verdict(good)["verdict"]) == (0, "ok")
    good.recorded = {"b": good.recorded["b"], **({"a": now} if now else {})}
    assert (verdict(good)["duplicateResults"], verdict(good)["verdict"]) == (1, "failed")


def test_what_is_still_refused_when_all_is_over_fails_the_game(good):
    good.book.submitted["c"] = good.book.possible["c"] = 1_000
    good.book.last_word["c"] = "refused"
    assert verdict(good)["verdict"] == "failed"
    assert "1 tasks were still not accepted" in verdict(good)["why"][0]


def test_executing_twice_is_counted_and_allowed(good):
    good.arrivals = [*good.arrivals, Arrival("t/q/a", 200, 5_000)]
    assert (verdict(good)["duplicateExecutions"], verdict(good)["verdict"]) == (1, "ok")


def test_fast_may_lose_no_more_than_the_rpo_showed(good):
    good.arrivals = [Arrival("t/q/b", 200, 4_000)]
    good.recorded = {"b": good.recorded["b"]}
    assert verdict(good, "fast")["verdict"] == "ok"
    assert verdict(good, "mirrored")["verdict"] == "failed"
    good.rpo_tasks = 0
    assert verdict(good, "fast")["verdict"] == "failed"


def test_a_record_nobody_submitted_is_a_phantom(good):
    good.recorded = {**good.recorded, "zzz": Recorded("succeeded", 1, 5_000)}
    assert (verdict(good)["phantom"], verdict(good)["verdict"]) == (1, "failed")


def test_a_task_that_ran_before_the_first_try_that_was_not_refused_failed_and_ran(good):
    good.book.possible["a"] = 4_001
    assert (verdict(good)["failedButRun"], verdict(good)["verdict"]) == (1, "failed")
    good.book.possible["a"] = 4_000
    assert (verdict(good)["failedButRun"], verdict(good)["verdict"]) == (0, "ok")


def test_a_task_that_was_only_ever_refused_must_be_neither_executed_nor_recorded(good):
    good.book.submitted["c"], good.book.last_word["c"] = 1_000, "refused"
    assert verdict(good)["failedButRun"] == 0
    good.arrivals = [*good.arrivals, Arrival("t/q/c", 200, 5_000)]
    assert (verdict(good)["failedButRun"], verdict(good)["phantom"]) == (1, 0)
    good.arrivals, good.recorded = good.arrivals[:-1], {**good.recorded, "c": Recorded("dead", 0)}
    assert (verdict(good)["failedButRun"], verdict(good)["verdict"]) == (1, "failed")


def test_a_task_whose_submit_was_not_answered_may_run(good):
    good.book.submitted["c"] = good.book.possible["c"] = 1_000
    good.book.last_word["c"] = "unknown"
    good.arrivals = [*good.arrivals, Arrival("t/q/c", 200, 5_000)]
    document = verdict(good)
    assert (document["unknown"], document["phantom"], document["failedButRun"]) == (1, 0, 0)


def test_an_effect_that_begins_long_after_the_record_is_a_zombie(good):
    late = Arrival("t/q/a", 200, 9_900, 9_200)
    good.arrivals = [*good.arrivals, late]
    assert (verdict(good)["zombies"], verdict(good)["verdict"]) == (1, "failed")
    # Under way before it was recorded: at least once allows that.
    good.arrivals = [*good.arrivals[:-1], dataclasses.replace(late, began_ms=4_000)]
    assert (verdict(good)["zombies"], verdict(good)["verdict"]) == (0, "ok")
    # Or its record lay in a spool, and the ledger had it later than it says.
    good.arrivals = [*good.arrivals[:-1], late]
    good.seen = {"a": Seen(good.recorded["a"], 4_200)}
    assert (verdict(good)["zombies"], verdict(good)["verdict"]) == (0, "ok")
    # A record that was written anew does not hide that the task had ended before.
    good.seen = {"a": Seen(good.recorded["a"], 0)}
    good.recorded = {**good.recorded, "a": Recorded("succeeded", 1, 9_950)}
    assert verdict(good)["zombies"] == 1


@pytest.mark.parametrize(
    ("began_ms", "anew", "pause", "count"),
    [
        (6_100, True, False, 1),
        # Under way when the fault came.
        (5_900, True, False, 0),
        # What a worker had asked before it may be what it goes by.
        (6_100, False, False, 0),
        (6_100, True, True, 0),
    ],
)
def test_what_was_recorded_before_a_fault_that_all_must_ask_after_does_not_run_after_it(
    good, began_ms, anew, pause, count
):
    good.faults = [Fault("wipe", 4_500, 6_000, {"queued": 1}, anew)]
    good.workers_pause = pause
    good.arrivals = [*good.arrivals, Arrival("t/q/a", 200, began_ms, began_ms)]
    assert verdict(good)["zombies"] == count
    # The other one was recorded after it.
    good.arrivals = [*good.arrivals[:-1], Arrival("t/q/b", 200, 7_100, 7_100)]
    assert verdict(good)["zombies"] == 0


def test_a_task_that_was_executed_and_never_recorded_is_stuck(good):
    good.recorded = {"a": good.recorded["a"]}
    document = verdict(good)
    assert (document["stuck"], document["lost"], document["verdict"]) == (1, 0, "failed")


def test_at_fast_what_is_lost_and_stuck_is_no_more_than_the_rpo_showed(good):
    good.recorded = {}
    assert verdict(good, "fast")["verdict"] == "failed"
    good.rpo_tasks = 2
    assert verdict(good, "fast")["verdict"] == "ok"
    good.arrivals = good.arrivals[:-1]
    assert verdict(good, "fast")["verdict"] == "ok"
    good.rpo_tasks = 1
    assert verdict(good, "fast")["verdict"] == "failed"


@pytest.fixture
def watched(good):
    """Five tasks accepted at 10,000 that end at 40,000; the broker is counted every second."""
    for number in range(5):
        task_id = f"w{number}"
        good.book.submitted[task_id] = good.book.possible[task_id] = 9_900
        good.book.accepted[task_id] = 10_000
        good.recorded = {**good.recorded, task_id: Recorded("succeeded", 1, 40_000)}
        good.arrivals = [*good.arrivals, Arrival(f"t/q/{task_id}", 200, 39_900)]
    good.samples = [Sample(at, {}, 0, 5) for at in range(10_000, 40_000, 1_000)]
    return good


def counted(evidence, copies_by_ms):
    evidence.samples = [
        dataclasses.replace(each, copies=copies_by_ms.get(each.at_ms, each.copies))
        for each in evidence.samples
    ]
    document = verdict(evidence)
    return document["copiesMissing"], document["verdict"]


def test_every_unfinished_task_has_its_copy(watched):
    assert counted(watched, {}) == (0, "ok")


def test_copies_that_are_gone_while_their_tasks_are_unfinished_left_too_early(watched):
    assert counted(watched, {20_000: 3, 21_000: 2, 22_000: 4}) == (2, "failed")


def test_one_odd_count_proves_nothing(watched):
    assert counted(watched, {20_000: 0}) == (0, "ok")
    assert counted(watched, {22_000: None, 23_000: 0}) == (0, "ok")


def test_a_count_may_be_older_than_what_was_just_accepted(watched):
    assert counted(watched, dict.fromkeys(range(10000, 15000, 1000), 0)) == (0, "ok")
    assert counted(watched, {15_000: 0, 16_000: 0}) == (5, "failed")


def test_what_is_counted_around_a_fault_proves_nothing(watched):
    watched.faults = [Fault("wipe", 20_000, 22_000, {"queued": 1})]
    assert counted(watched, dict.fromkeys(range(20000, 28000, 1000), 0)) == (0, "ok")


def test_copies_that_a_fault_took_did_not_leave_too_early(watched):
    watched.copies_taken = True
    watched.faults = [Fault("queue deleted", 20_000, 20_100, {"queued": 1})]
    assert counted(watched, dict.fromkeys(range(20_000, 40_000, 1_000), 0)) == (0, "ok")
    assert counted(watched, dict.fromkeys(range(18_000, 20_000, 1_000), 3)) == (2, "failed")


def test_at_fast_a_task_may_be_without_a_copy(watched):
    watched.samples = [dataclasses.replace(each, copies=0) for each in watched.samples]
    assert verdict(watched, "fast")["copiesMissing"] is None


RECEIPT = {"taskId": "a", "durability": {"reached": "mirrored"}}
BELOW = {"taskId": "a", "durability": {"reached": "fast"}}


@pytest.mark.parametrize(
    ("status", "document", "word", "firm"),
    [
        (202, RECEIPT, "accepted", False),
        (202, BELOW, "refused", False),
        # Kept although refused, and not known: both may run.
        (503, {"taskId": "a", "reached": "fast"}, "refused", False),
        (503, {"taskId": "a"}, "refused", False),
        (500, {}, "refused", False),
        (503, {}, "refused", True),
        (422, {}, "refused", True),
        (429, {}, "refused", True),
    ],
)
def test_only_a_firm_no_forbids_to_run(status, document, word, firm):
    answer = answer_of(status, document, "mirrored")
    assert (answer.word, answer.firm) == (word, firm)
