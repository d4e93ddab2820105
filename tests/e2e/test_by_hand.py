"""The users of ``compose/definitions.json`` carry the whole ring; one task is recovered by hand.

``docs/how-to/rabbitmq-dashboard.md`` describes the recipe that is followed here, step by step.
"""

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from app.amqp.connection import close_connection, open_channel, open_connection
from app.amqp.message import Origin, copy_publication
from app.amqp.publishing import publish
from app.amqp.topology import mirror_queue
from app.stack.system import Service, System
from tests.e2e.conftest import Board, answers
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

FILE = Path(__file__).parents[2] / "compose/definitions.json"
ENVELOPE = {"Content-Type": "application/vnd.lifeboat.envelope+json"}
LATE = {"delayMs": 600_000}
OPERATOR = "lifeboat-operator"


class Dashboard:
    """The management API as a person's browser asks it."""

    def __init__(self, url, vhost):
        self._url = url
        self._vhost = vhost

    async def ask(self, user, method, path, body=None):
        """(status, document)."""
        headers = {"Authorization": aiohttp.encode_basic_auth(user, user)}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, self._url + path, json=body) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if text else None

    def queue(self, name, rest=""):
        return f"/api/queues/{self._vhost}/{name}{rest}"

    async def get_messages(self, user, name="mail", count=10):
        """*Get messages*, nack and requeue."""
        wish = {"count": count, "ackmode": "ack_requeue_true", "encoding": "auto"}
        return await self.ask(user, "POST", self.queue(mirror_queue(name), "/get"), wish)

    async def connection_of(self, process):
        """The name of its connection, as the list of connections has it."""
        status, listed = await self.ask(OPERATOR, "GET", f"/api/vhosts/{self._vhost}/connections")
        assert status == 200
        names = {each["name"]: each.get("user_provided_name", "") for each in listed}
        prefix = f"lifeboat-{process}-"
        return next((name for name, given in names.items() if given.startswith(prefix)), None)


@pytest.fixture
def vhost(env_name):
    return env_name


@pytest.fixture
async def guarded(stack, environment, vhost, receiver, tmp_path):
    """A system in which each process is its own user of RabbitMQ."""
    path = tmp_path / "definitions.json"
    path.write_text(FILE.read_text().replace('"lifeboat"', f'"{vhost}"'))
    await stack.rabbitmq.control("import_definitions", str(path))

    def as_user(process):
        user = f"lifeboat-{process}"
        changed = {
            name: environment[name].replace("guest:guest", f"{user}:{user}")
            for name in ("LIFEBOAT_RABBITMQ_URL", "LIFEBOAT_RABBITMQ_MANAGEMENT_URL")
        }
        if process == "worker":
            changed = {"LIFEBOAT_RABBITMQ_URL": f"amqp://127.0.0.1:1/{vhost}"}
        return {**environment, **changed}

    system = System(tmp_path / "log", environment)
    for name in system.services:
        system.services[name] = Service(name, tmp_path / "log", as_user(name))
    await eventually(lambda: answers(receiver[0].replace("/hook", "/ready")))
    board = Board(stack, system, as_user("rehydrator"), *receiver)
    await system.start()
    board.environment["LIFEBOAT_API_URL"] = board.api
    yield board
    for service in system.services.values():
        service.process.kill9()


@pytest.fixture
def dashboard(stack, vhost):
    return Dashboard(stack.rabbitmq.dashboard_url, vhost)


async def run(board, *arguments):
    """(exit code, document, stderr) of a command, which is the rehydrator's user."""
    process = board.lifeboat(*arguments, "--json")
    out, errors = await asyncio.to_thread(process.communicate, timeout=150)
    return process.returncode, json.loads(out) if out else None, errors


async def test_the_users_carry_the_ring_its_fallback_and_the_commands(guarded, dashboard, vhost):
    board = guarded
    code, flight, errors = await run(board, "canary", "--queue", "mail", "--timeout", "60s")
    assert (code, flight["missing"]) == (0, None), (flight, errors)

    # What cannot be read goes to the quarantine, by the rehydrator's own hand.
    connection = await open_connection(board.stack.rabbitmq.vhost_url(vhost), "test")
    deadline = asyncio.get_running_loop().time() + 30
    copy = copy_publication(envelope(queue="mail"), Origin(vhost, ""), 7)
    headers = {**copy.headers, "x-tenant": "default"}
    async with open_channel(connection) as channel:
        await publish(channel, copy._replace(body=b"{}", headers=headers), deadline)
    await close_connection(connection)

    async def quarantined():
        _, found = await board.get("/v1/quarantine")
        return found["items"]

    await eventually(quarantined, within_s=60)
    (item,) = await quarantined()
    status, _ = await board.post(f"/v1/quarantine/{item['id']}/discard")
    assert status == 200

    code, report, errors = await run(board, "rehydrate")
    assert (code, report["state"]) == (0, "complete"), errors
    _, report, _ = await run(board, "doctor")
    checks = [each for each in report["checks"] if each["name"].startswith("rabbitmq")]
    assert len(checks) >= 6
    assert [each for each in checks if each["status"] == "fail"] == []

    # The API makes a mirror queue by itself where Redis is away and there is none.
    for name in ("mirror", "rehydrator"):
        board.service(name).process.kill9()
    status, _ = await dashboard.ask("guest", "DELETE", dashboard.queue("lifeboat.mirror.mail"))
    assert status == 204
    board.stack.redis.kill9()
    (receipt,) = await board.submit(board.delivery("away", durability="mirrored"))
    assert receipt["acceptedBy"] == "rabbitmq"
    await board.stack.redis.start()
    for name in ("mirror", "rehydrator"):
        await board.service(name).start()
    await eventually(lambda: succeeded(board, "away"), within_s=60)


async def succeeded(board, task_id):
    _, task = await board.get(f"/v1/tasks/{task_id}?queue=mail")
    return task.get("state") == "succeeded"


async def test_a_task_is_recovered_with_nothing_but_the_dashboard(guarded, dashboard):
    board = guarded
    await board.submit(*(board.delivery(i, **LATE, durability="mirrored") for i in ("a", "b")))

    async def both_mirrored():
        return await board.copies() == 2

    await eventually(both_mirrored, within_s=60)
    # All copies are unacked: the rehydrator holds them, and the operator sees none.
    connection = await eventually(lambda: dashboard.connection_of("rehydrator-mail"), within_s=60)
    path = f"/api/connections/{quote(connection, safe='')}"
    status, _ = await dashboard.ask(OPERATOR, "DELETE", path)
    assert status in (401, 403)
    status, _ = await dashboard.ask("lifeboat-rehydrator", "DELETE", path)
    assert status == 204
    await board.wipe_redis()

    async def ready():
        status, found = await dashboard.get_messages(OPERATOR)
        assert status == 200
        return found if len(found) == 2 else None

    found = await eventually(ready, within_s=60)
    (message,) = [m for m in found if m["properties"]["correlation_id"] == "a"]
    assert message["properties"]["headers"]["x-task-id"] == "a"
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{board.api}/v1/tasks", data=message["payload"].encode(), headers=ENVELOPE
        ) as response,
    ):
        receipt = await response.json()
        assert response.status == 202, receipt
    assert receipt["taskId"] == "a"
    _, task = await board.get("/v1/tasks/a?queue=mail")
    assert task["state"] == "scheduled"
    # The copy is still there: it was looked at, not taken.

    async def both_are_there():
        _, found = await dashboard.get_messages(OPERATOR)
        return {m["properties"]["correlation_id"] for m in found} == {"a", "b"}

    await eventually(both_are_there)

    await may_not_destroy(dashboard)


async def may_not_destroy(dashboard):
    queue, vhost = (
        dashboard.queue("lifeboat.mirror.mail"),
        dashboard.queue("")[len("/api/queues/") :],
    )
    message = {
        "properties": {},
        "routing_key": "mail.x.y",
        "payload": "",
        "payload_encoding": "string",
    }
    refused = [
        ("DELETE", queue, None),
        ("POST", f"/api/exchanges/{vhost}lifeboat.tasks/publish", message),
        ("PUT", f"/api/policies/{vhost}ttl", {"pattern": ".*", "definition": {"message-ttl": 1}}),
        ("PUT", dashboard.queue("another"), {}),
        ("DELETE", f"/api/vhosts/{vhost.rstrip('/')}", None),
    ]
    for method, path, body in refused:
        status, answer = await dashboard.ask(OPERATOR, method, path, body)
        assert status in (400, 401, 403), (method, path, answer)
