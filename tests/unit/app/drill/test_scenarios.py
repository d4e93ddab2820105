"""What can be played, what cannot yet, and how the tasks are handed out."""

import pytest
from typer.testing import CliRunner

from app.cli.main import application
from app.drill.load import tasks
from app.drill.scenarios import MIXED, NOT_YET, SCENARIOS

PROMISED = {
    "redis-wipe", "redis-restart", "redis-stale-failover", "redis-down-accept",
    "rabbitmq-restart", "rabbitmq-node-loss", "rabbitmq-quorum-loss", "rabbitmq-alarm",
    "mongo-restart", "worker-kill", "mirror-kill", "rehydrator-kill", "random",
}  # fmt: skip


def test_each_promised_name_is_played_or_refused():
    assert set(SCENARIOS) | set(NOT_YET) == PROMISED
    assert not set(SCENARIOS) & set(NOT_YET)


def test_random_mixes_single_faults_and_never_itself():
    assert "random" not in MIXED
    assert {SCENARIOS[name].planned_faults for name in MIXED} == {1}


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_what_is_not_there_yet_is_refused_with_a_sentence(name):
    done = CliRunner().invoke(application(["drill"]), ["drill", "--scenario", name])
    assert done.exit_code == 2
    assert "is not there yet" in done.output


def test_the_same_seed_makes_the_same_tasks():
    assert list(tasks(50, 7, "http://r")) == list(tasks(50, 7, "http://r"))
    assert list(tasks(50, 7, "http://r")) != list(tasks(50, 8, "http://r"))
