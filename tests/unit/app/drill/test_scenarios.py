"""What can be played, and how the tasks are handed out."""

import pytest
from typer.testing import CliRunner

from app.cli.main import application
from app.drill.load import tasks
from app.drill.nodes import longest_gap_ms
from app.drill.scenarios import SCENARIOS

PROMISED = {
    "redis-wipe", "redis-wipes", "redis-restart", "redis-tail-loss", "redis-stream-loss",
    "redis-key-loss", "redis-stale-failover", "redis-down-accept", "rabbitmq-restart",
    "rabbitmq-node-loss", "rabbitmq-quorum-loss", "rabbitmq-queue-full", "rabbitmq-queue-deleted",
    "rabbitmq-alarm", "mongo-restart", "mongo-failover", "worker-kill", "mirror-kill",
    "rehydrator-kill", "random",
}  # fmt: skip


def test_each_promised_name_is_played():
    assert set(SCENARIOS) == PROMISED


def test_only_random_has_lines_to_break_and_plans_its_faults_itself():
    assert {name for name, each in SCENARIOS.items() if each.networked} == {"random"}
    assert {name for name, each in SCENARIOS.items() if each.planned_faults is None} == {"random"}


def test_only_random_goes_on_for_so_many_minutes():
    done = CliRunner().invoke(
        application(["drill"]), ["drill", "--scenario", "redis-wipe", "--minutes", "2"]
    )
    assert done.exit_code == 2
    assert "only random" in done.output


def test_what_needs_more_than_one_server_of_a_kind_says_so():
    assert {name for name, each in SCENARIOS.items() if each.clustered} == {
        "rabbitmq-node-loss", "rabbitmq-quorum-loss",
    }  # fmt: skip
    assert {name for name, each in SCENARIOS.items() if each.replicated} == {"redis-stale-failover"}
    assert {name for name, each in SCENARIOS.items() if each.electing} == {"mongo-failover"}


def test_an_unknown_scenario_is_refused_with_those_there_are():
    done = CliRunner().invoke(application(["drill"]), ["drill", "--scenario", "meteor"])
    assert done.exit_code == 2
    assert "rabbitmq-quorum-loss" in done.output


@pytest.mark.parametrize(
    ("receipts", "gap"),
    [([], 0), ([90], 0), ([1_500], 1_400), ([110, 2_000, 150, 90], 1_850)],
)
def test_the_longest_time_without_a_receipt(receipts, gap):
    assert longest_gap_ms(100, receipts) == gap


def test_the_same_seed_makes_the_same_tasks():
    assert list(tasks(50, 7, "http://r")) == list(tasks(50, 7, "http://r"))
    assert list(tasks(50, 7, "http://r")) != list(tasks(50, 8, "http://r"))
