"""What a drill refuses before anything is started or broken."""

import pytest
from typer.testing import CliRunner

from app.cli.main import application
from app.drill.outside import BROKEN, ON_GIVEN, TAKES
from app.drill.scenarios import SCENARIOS

FLAG = "--i-understand-this-breaks-things"
NAMED = {
    "LIFEBOAT_REDIS_URL": "redis://127.0.0.1:1/0",
    "LIFEBOAT_RABBITMQ_URL": "amqp://127.0.0.1:1/x",
    "LIFEBOAT_RABBITMQ_MANAGEMENT_URL": "http://127.0.0.1:1",
}


def refused(*arguments, **environment):
    done = CliRunner().invoke(application(["drill"]), ["drill", *arguments], env=environment)
    assert done.exit_code == 2, done.output
    return " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("scenario", sorted(set(ON_GIVEN) - set(SCENARIOS)))
def test_what_breaks_things_for_others_is_not_played_without_the_word_for_it(scenario):
    assert FLAG in refused("--scenario", scenario, **NAMED)


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - set(ON_GIVEN)))
def test_what_cannot_be_done_from_outside_is_refused_with_what_it_takes(scenario):
    said = refused("--scenario", scenario, FLAG, **NAMED)
    assert TAKES.get(scenario, "servers of its own") in said
    assert "connections-cut" in said


@pytest.mark.parametrize("variable", NAMED)
def test_servers_that_are_not_named_are_not_guessed(variable):
    given = NAMED | {variable: ""}
    assert variable in refused("--scenario", "redis-wipe", FLAG, **given)


def test_what_is_made_on_given_servers_does_not_stay():
    assert "--keep" in refused("--scenario", "redis-wipe", "--keep", FLAG, **NAMED)


def test_each_that_is_played_on_given_servers_says_what_it_breaks():
    assert set(BROKEN) == set(ON_GIVEN)
    assert set(TAKES) <= set(SCENARIOS) - set(ON_GIVEN)


def test_fewer_tasks_than_faults_are_refused():
    said = refused("--scenario", "redis-wipes", "--tasks", "49")
    assert "needs at least 50 tasks" in said
