"""The users of ``compose/definitions.json`` may do their work, and each permission is needed."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from app.amqp.connection import broker_call, close_connection, open_channel, open_connection
from app.amqp.declare import declare, declare_queue
from app.amqp.message import Origin, copy_publication, fence_publication
from app.amqp.publishing import PublishOutcome, publish
from app.amqp.topology import QUARANTINE, mirror_queue
from app.errors import Unavailable
from tests.integration.amqp.material import QUEUE
from tests.support.envelopes import envelope

FILE = Path(__file__).parents[3] / "compose/definitions.json"
VHOST = "lifeboat"
DEFINED = json.loads(FILE.read_text())
PERMISSIONS = {each["user"]: each for each in DEFINED["permissions"]}
KINDS = ("configure", "write", "read")


def alternatives(pattern):
    """``^lifeboat\\.(a|b)$`` -> what stands between the bars, each also where parts are nested."""
    return re.findall(r"amq\\\.default|(?<=[(|])(?!amq|lifeboat)[a-z]+(?:\\\.\.\+)?", pattern)


def without(pattern, part):
    """A pattern that matches all but what ``part`` was for."""
    return re.sub(rf"(?<=[(|]){re.escape(part)}(?=[|)])", "none", pattern)


@pytest.fixture
async def users(rabbitmq_server, rabbitmq_url, env_name, tmp_path):
    """The file imported for the test's own vhost; sets permissions of a user anew."""
    document = json.loads(FILE.read_text().replace(f'"{VHOST}"', f'"{env_name}"'))
    path = tmp_path / "definitions.json"
    path.write_text(json.dumps(document))
    await rabbitmq_server.control("import_definitions", str(path))

    async def permit(user, permissions):
        await rabbitmq_server.manage("PUT", f"/api/permissions/{env_name}/{user}", permissions)

    return permit


@pytest.fixture
def work_as(rabbitmq_server, rabbitmq_url, env_name):
    """Does a process's work in RabbitMQ as its user, with a mirror queue that is yet to be made."""

    async def work(user):
        try:
            await rabbitmq_server.manage("DELETE", f"/api/queues/{env_name}/{mirror_queue(QUEUE)}")
        except Exception as error:
            assert "404" in str(error)
        connection = await open_connection(
            rabbitmq_url.replace("guest:guest", f"{user}:{user}"), "t"
        )
        try:
            await declare(connection, env_name)
            await declare_queue(connection, QUEUE)
            copy = copy_publication(envelope("a", queue=QUEUE), Origin(env_name, "ledger"), 7)
            published = [copy]
            if user == "lifeboat-rehydrator":
                published.append(fence_publication(QUEUE, "run", 7))
            deadline = asyncio.get_running_loop().time() + 30
            for each in published:
                async with open_channel(connection) as channel:
                    if await publish(channel, each, deadline) is not PublishOutcome.CONFIRMED:
                        raise Unavailable("rabbitmq", "not confirmed")
            if user == "lifeboat-rehydrator":
                await look_at_queues(connection)
        finally:
            await close_connection(connection)

    return work


async def look_at_queues(connection):
    for name in (mirror_queue(QUEUE), QUARANTINE):
        async with broker_call(), open_channel(connection) as channel:
            queue = await channel.get_queue(name, ensure=False)
            tag = await queue.consume(print)
            await queue.cancel(tag)


@pytest.mark.parametrize("user", ["lifeboat-api", "lifeboat-mirror", "lifeboat-rehydrator"])
async def test_a_process_needs_each_of_its_permissions_and_no_other(users, work_as, user):
    given = {kind: PERMISSIONS[user][kind] for kind in KINDS}
    await work_as(user)
    for kind in KINDS:
        parts = [each for each in alternatives(given[kind]) if not each.startswith("doctor")]
        assert len(parts) >= 3
        for part in parts:
            less = without(given[kind], part)
            assert less != given[kind]
            await users(user, {**given, kind: less})
            with pytest.raises(Unavailable):
                await work_as(user)
    await users(user, given)
    await work_as(user)


def test_no_process_may_do_all():
    for user, permissions in PERMISSIONS.items():
        if user != "lifeboat-admin":
            assert not any(re.fullmatch(permissions[kind], "orders") for kind in KINDS)


def test_the_file_holds_nothing_but_users():
    """Queues have their arguments from the mirror, and a policy could only do harm."""
    assert [each["name"] for each in DEFINED["vhosts"]] == [VHOST]
    assert DEFINED["policies"] == []
    assert not any(DEFINED.get(each) for each in ("queues", "exchanges", "bindings"))
