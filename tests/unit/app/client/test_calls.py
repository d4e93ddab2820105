"""Paths of the API: what can be no name there is refused before it is sent."""

import pytest

from app.client import Invalid
from app.client.calls import in_queue, on_copy, on_task


@pytest.mark.parametrize("task_id", ["", ".", "..", "../x", "a/b", "a b", "x" * 128])
def test_what_is_no_task_id_is_refused_as_the_api_does(task_id):
    with pytest.raises(Invalid, match="#/taskId: Must match") as refused:
        on_task("GET", task_id, None)
    (problem,) = refused.value.errors
    assert (problem.pointer, problem.limit) == ("#/taskId", "[A-Za-z0-9][A-Za-z0-9._:-]{0,126}")


@pytest.mark.parametrize("queue", ["", "..", "No", "a/b", "x" * 64])
def test_what_is_no_queue_is_refused_as_the_api_does(queue):
    with pytest.raises(Invalid) as refused:
        in_queue(queue, "dead")
    (problem,) = refused.value.errors
    assert (problem.pointer, problem.limit) == ("#/queue", "[a-z0-9][a-z0-9_-]{0,62}")


@pytest.mark.parametrize("id", ["", "../x", "x" * 257])
def test_what_is_no_copy_is_refused(id):
    with pytest.raises(Invalid, match="#/id"):
        on_copy(id, "discard")


def test_what_is_a_name_is_where_the_api_has_it():
    assert on_task("POST", "a:b", "mail", "cancel").path == "/v1/tasks/a%3Ab/cancel"
    assert in_queue("mail", "canaries", "x" * 3) == "/v1/queues/mail/canaries/xxx"
    assert on_copy("01 a", "requeue").path == "/v1/quarantine/01%20a/requeue"
