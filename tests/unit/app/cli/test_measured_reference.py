"""The table of measured guarantees says what its results say, and nothing that has no result."""

import pytest

from app.cli.measured_reference import RESULTS, results, written
from app.drill.measure import LEVELS, MIRRORED_ALONE, kept, rounds
from app.drill.scenarios import SCENARIOS

WIPE = {
    "scenario": "redis-wipe", "seed": 7, "durability": "fast", "tasks": 1_000, "accepted": 1_000,
    "versions": {"redis": "7.0.15", "rabbitmq": "3.10.8"}, "cores": 2, "lifeboat": "0.1.0",
    "startedAt": 1_760_000_000_000, "lost": 3, "duplicateExecutions": 6, "duplicateResults": 0,
    "rpoTasks": 13, "rpoSeconds": 0.02, "rtoFirstSeconds": 0.314, "rtoAllSeconds": None,
    "faults": [{"name": "redis killed and wiped", "at": 1, "doneAt": 121, "inFlight": {"queued": 9}}],
    "verdict": "ok",
}  # fmt: skip


def row_of(page, level, story):
    section = page.partition(f"## At `{level}`")[2]
    return next(line for line in section.splitlines() if line.startswith(f"| {story}"))


def test_a_row_shows_the_figures_of_its_result_and_its_command():
    row = row_of(written([WIPE]), "fast", "Redis dies and all its data is gone")
    assert "| 3 of 1,000 | 6 | 0 | 13 tasks, 0.02 s | 0.12 s | 0.31 s | - |" in row
    assert "`lifeboat drill --scenario redis-wipe --durability fast --tasks 1000 --seed 7`" in row


def test_of_two_results_the_worst_is_shown_and_what_was_lost_is_added_up():
    page = written([WIPE, WIPE | {"duplicateExecutions": 40, "rtoAllSeconds": 12.3, "lost": 1}])
    row = row_of(page, "fast", "Redis dies and all its data is gone")
    assert "| 4 of 2,000 | 40 | 0 | 13 tasks, 0.02 s | 0.12 s | 0.31 s | 12.3 s |" in row


def test_what_was_not_played_is_said_to_be_not_measured():
    page = written([WIPE])
    for level, unmeasured in (("mirrored", True), ("fast", False)):
        section = page.partition(f"## At `{level}`")[2].partition("\n| failure")[0]
        assert ("`redis-wipe`" in section) is unmeasured
        assert "`redis-restart`" in section


def test_what_was_played_is_listed_with_versions_and_seed():
    played = written([WIPE]).partition("## What was played")[2]
    assert (
        "| `redis-wipe` | `fast` | 7 | 1,000 | redis killed and wiped (queued 9) | ok |" in played
    )
    assert "redis 7.0.15, rabbitmq 3.10.8; 2 cores | 0.1.0, 2025-10-09 |" in played


def test_of_many_faults_the_first_are_named_and_the_rest_counted():
    played = written([WIPE | {"faults": WIPE["faults"] * 50}]).partition("## What was played")[2]
    assert played.count("redis killed and wiped") == 3
    assert "and 47 more" in played


def test_what_is_of_one_machine_alone_is_not_kept():
    document = WIPE | {"report": "/tmp/r.html", "kept": {}, "lostTasks": ["a"]}
    assert b"/tmp" not in kept(document)
    assert b"lostTasks" not in kept(document)
    assert kept(document) == kept(WIPE)


def test_every_scenario_is_measured_at_every_level_that_it_knows():
    played = rounds(SCENARIOS, LEVELS, "machine", 1)
    assert {(each.scenario, each.durability) for each in played} == {
        (scenario, level) for scenario in SCENARIOS for level in LEVELS
    } - {(scenario, "fast") for scenario in MIRRORED_ALONE}
    assert len({each.name for each in played}) == len(played)


@pytest.mark.parametrize(
    "document", results(RESULTS), ids=lambda d: f"{d['scenario']}-{d['durability']}"
)
def test_a_kept_result_says_of_what_it_is(document):
    assert document["verdict"] == "ok"
    assert {"redis", "rabbitmq"} < set(document["versions"])
    assert isinstance(document["seed"], int)
    assert all(sum(fault["inFlight"].values()) > 0 for fault in document["faults"])
    assert document["faults"]
