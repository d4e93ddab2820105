"""What the application makes of use cases that fail or never end."""

import asyncio

import orjson
import pytest

from app.api.application import create_application
from app.metrics import Metrics
from app.settings import load

BODY = b'{"type":"report","payload":{}}'


class Failing:
    """Use cases with a fault in them."""

    async def submit(self, prepared):
        raise ValueError("password=1234")


class Stuck:
    """Use cases that never answer."""

    async def submit(self, prepared):
        await asyncio.Event().wait()

    async def get(self, task_id, queue, wait_s):
        await asyncio.Event().wait()

    async def queues(self, cursor, limit):
        await asyncio.Event().wait()

    async def mirrors(self, cursor, limit):
        await asyncio.Event().wait()


async def call(task_queue, method, path, body=b""):
    settings = load(_env_file=None, store_timeout_ms=100, confirm_timeout_ms=50)
    application = create_application(settings, task_queue, Metrics())
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    raised = None
    try:
        await application(scope, receive, send)
    except ValueError as error:
        raised = error
    start, answer = sent
    return start["status"], dict(start["headers"]), orjson.loads(answer["body"]), raised


async def test_the_unexpected_is_a_problem_that_tells_nothing_and_reaches_the_log():
    status, headers, document, raised = await call(Failing(), "POST", "/v1/tasks", BODY)
    assert "1234" in str(raised)
    assert (status, document["code"]) == (500, "internal_error")
    assert headers[b"content-type"] == b"application/problem+json"
    assert "1234" not in str(document)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/tasks", BODY),
        ("GET", "/v1/tasks/t1", b""),
        ("GET", "/v1/queues", b""),
        ("GET", "/v1/mirror", b""),
    ],
)
async def test_every_call_has_a_deadline_of_its_own(method, path, body):
    status, headers, document, _ = await call(Stuck(), method, path, body)
    assert (status, document["code"]) == (503, "unavailable")
    assert headers[b"retry-after"] == b"1"
