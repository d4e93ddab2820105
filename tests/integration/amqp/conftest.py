"""A declared vhost with one queue, copies for it, and the broker behind a proxy."""

import json
from urllib.parse import quote

import aiohttp
import pytest

from app.amqp.connection import close_connection, open_connection, vhost_of
from app.amqp.declare import declare, declare_queue, ready_count
from app.amqp.management import Management
from tests.integration.amqp.material import QUEUE
from tests.support.eventually import eventually
from tests.support.proxy import Proxy


@pytest.fixture
async def connection(rabbitmq_url):
    connection = await open_connection(rabbitmq_url, "test")
    yield connection
    await close_connection(connection)


@pytest.fixture
async def management(rabbitmq_url, rabbitmq_management_url):
    management = Management(rabbitmq_management_url, vhost_of(rabbitmq_url))
    yield management
    await management.close()


@pytest.fixture
async def declared(connection):
    """The topology and the queue ``mail``; gives the number of ready copies when called."""
    await declare(connection, "test")
    await declare_queue(connection, QUEUE)

    async def ready(queue=QUEUE):
        return await ready_count(connection, queue)

    return ready


@pytest.fixture
async def proxy(rabbitmq_url):
    async with Proxy(rabbitmq_url) as proxy:
        yield proxy


@pytest.fixture
async def force_close(rabbitmq_management_url):
    """Close connections by hand: those whose name begins with ``lifeboat-<process>-``."""

    async def names(session, process):
        async with session.get(f"{rabbitmq_management_url}/api/connections") as response:
            listed = json.loads(await response.text())
        return [
            each["name"]
            for each in listed
            if each.get("user_provided_name", "").startswith(f"lifeboat-{process}-")
        ]

    async def close(process, reason=None):
        async with aiohttp.ClientSession() as session:
            found = await eventually(lambda: names(session, process), within_s=60)
            for name in found:
                url = f"{rabbitmq_management_url}/api/connections/{quote(name, safe='')}"
                headers = {"X-Reason": reason} if reason else {}
                async with session.delete(url, headers=headers) as response:
                    assert response.status == 204

    return close
