"""A run's numbers add up over several passes, and its exit code says what they mean."""

import pytest

from app.names import QueueName
from rehydrator.report import Report, Tally, exit_code

NAME = QueueName("acme", "mail")


def tally(*noted):
    made = Tally()
    made.begin_pass()
    for task_id, outcome in noted:
        made.note([NAME.task(task_id)], outcome)
    return made


def report(**members):
    return Report(**{"id": "r1", "state": "running", "started_at_ms": 5} | members)


def test_each_outcome_is_counted():
    noted = tally(("a", "restored"), ("b", "present"), ("c", "finished"), ("d", "cancelled"))
    found = report().counted([noted, tally(("e", "expired"), ("f", "quarantined"))], 9)
    assert found.counts() == dict.fromkeys(found.counts(), 1)
    assert (found.seen, found.total) == (6, 9)


def test_a_second_pass_counts_what_stayed_once():
    noted = tally(("a", "restored"), ("b", "present"), ("c", "finished"))
    noted.begin_pass()
    for task_id in ("a", "b"):
        noted.note([NAME.task(task_id)], "present")
    assert noted.counts() == {"restored": 1, "present": 1, "finished": 1}


def test_a_second_copy_of_a_restored_task_is_present():
    assert tally(("a", "restored"), ("a", "present")).counts() == {"restored": 1, "present": 1}
    noted = tally(("a", "restored"))
    noted.begin_pass()
    noted.note([NAME.task("a")], "present")
    noted.note([NAME.task("a")], "present")
    assert noted.counts() == {"restored": 1, "present": 1}


def test_a_dry_run_tells_a_second_copy_as_a_run_would():
    made = Tally(dry=True)
    for _ in range(2):
        made.begin_pass()
        for name in "aab":
            made.note([NAME.task(name)], "restored")
        made.note([NAME.task("c")], "finished")
    assert made.counts() == {"restored": 2, "present": 1, "finished": 1}


def test_a_task_restored_in_two_passes_counts_once():
    noted = tally(("a", "restored"), ("b", "restored"))
    noted.begin_pass()
    noted.note([NAME.task("a")], "restored")
    noted.note([NAME.task("c")], "restored")
    assert noted.counts() == {"restored": 3, "present": 0}


@pytest.mark.parametrize(
    ("state", "restored", "detailed", "code"),
    [
        ("complete", 0, False, 0),
        ("complete", 3, False, 0),
        ("complete", 0, True, 0),
        ("complete", 3, True, 10),
        ("partial", 3, False, 20),
        ("partial", 3, True, 20),
        ("failed", 0, False, 20),
    ],
)
def test_the_exit_code(state, restored, detailed, code):
    assert exit_code(report(state=state, restored=restored), detailed=detailed) == code


def test_all_accounted_for_means_that_the_total_was_seen():
    done = report(total=9, present=4).ended(50, ())
    assert (done.state, done.total, done.finished_at_ms) == ("complete", 4, 50)
    partly = report(total=9, present=4).ended(50, ("The ledger is away.",))
    assert (partly.state, partly.total, partly.problems) == ("partial", 9, ("The ledger is away.",))


def test_the_document_has_the_members_of_the_api():
    assert list(report().document()) == [
        "id", "state", "seen", "total", "restored", "present", "finished", "cancelled", "expired",
        "quarantined", "startedAt", "finishedAt", "dryRun", "queue", "tenant", "problems",
    ]  # fmt: skip
