"""A world of its own for every test: SQLite where the ledger's kind does not matter."""

import json
from contextlib import AsyncExitStack
from urllib.parse import quote

import aiohttp
import pytest

from app.lifecycle import wait_for
from rehydrator.opening import Opening
from rehydrator.redis_queue import RedisQueues
from rehydrator.report import Tally
from rehydrator.source import CopySource
from rehydrator.stores import open_stores
from tests.integration.rehydrator.world import World
from tests.support.envelopes import QUEUE
from tests.support.eventually import eventually
from tests.support.proxy import Proxy


@pytest.fixture
async def make_world(env_name, redis_url, rabbitmq_url, sqlite_path):
    made = []

    async def make(**settings):
        settings.setdefault("redis_url", redis_url)
        if "mongo_url" not in settings:
            settings["sqlite_path"] = sqlite_path
        made.append(await World(env_name, rabbitmq_url=rabbitmq_url, **settings).__aenter__())
        return made[-1]

    yield make
    for world in made:
        await world.__aexit__()


@pytest.fixture
async def world(make_world):
    return await make_world()


@pytest.fixture
async def open_copies(world):
    """Opens the copies for a test that takes each step itself."""
    async with AsyncExitStack() as stack:
        stores, topology = open_stores(world.settings, stack, process="test")
        await wait_for("the ledger", stores.ledger.open)
        await topology.declare(QUEUE)

        async def open_copies(prefetch=100):
            queues = RedisQueues(stores)
            queues.of(world.name)
            source = await CopySource.open(world.rabbitmq_url, QUEUE, prefetch=prefetch)
            return Opening(stores, QUEUE, queues, source, Tally())

        yield open_copies


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
        prefix = f"lifeboat-{process}-"
        return [
            each["name"] for each in listed if each.get("user_provided_name", "").startswith(prefix)
        ]

    async def close(process):
        async with aiohttp.ClientSession() as session:
            found = await eventually(lambda: names(session, process), within_s=60)
            for name in found:
                url = f"{rabbitmq_management_url}/api/connections/{quote(name, safe='')}"
                async with session.delete(url) as response:
                    assert response.status == 204

    return close
