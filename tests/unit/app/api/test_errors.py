"""Problems: every error of ours has a row, and nothing unexpected is told to a stranger."""

import pytest

from app import errors
from app.api.errors import KINDS, HeadersTooLarge, NoSuchMethod, headers_of, kind_of, problem
from app.errors import FieldProblem, InvalidTask, LifeboatError

NOT_ANSWERED = {LifeboatError, errors.SettingsError, errors.Fatal, errors.EnvMismatch}
NOT_ANSWERED |= {errors.TopologyMismatch}


def ours():
    waiting, found = [LifeboatError], set()
    while waiting:
        each = waiting.pop()
        found.add(each)
        waiting += each.__subclasses__()
    return {each for each in found if each.__module__ == "app.errors"} - NOT_ANSWERED


@pytest.mark.parametrize("error", sorted(ours(), key=lambda each: each.__name__))
def test_every_error_of_the_core_has_a_row(error):
    assert any(each in KINDS for each in error.__mro__)


def test_codes_belong_to_one_status():
    statuses = {}
    for kind in KINDS.values():
        assert statuses.setdefault(kind.code, kind.status) == kind.status


def test_a_problem_names_fields_and_limits():
    shown = problem(InvalidTask(FieldProblem("#/type", "Is bad.", 7), FieldProblem("#/x", "Too.")))
    assert (shown["status"], shown["code"]) == (422, "invalid_task")
    assert shown["errors"] == [
        {"pointer": "#/type", "detail": "Is bad.", "limit": 7},
        {"pointer": "#/x", "detail": "Too."},
    ]


def test_the_unexpected_keeps_its_secrets():
    shown = problem(ValueError("password=1234"))
    assert shown["status"] == 500
    assert "1234" not in str(shown)


def test_headers_that_belong_to_a_refusal():
    assert headers_of(errors.Unavailable("redis", "x")) == {"Retry-After": "1"}
    assert headers_of(errors.QueueFull("x")) == {"Retry-After": "1"}
    assert headers_of(NoSuchMethod("PUT", ("GET", "POST"))) == {"Allow": "GET, POST"}
    assert headers_of(HeadersTooLarge(5)) == {}


def test_a_subclass_without_a_row_takes_its_parents():
    class Away(errors.Unavailable):
        pass

    assert kind_of(Away("redis", "x")).code == "unavailable"
