"""A real API on a free port, in the test's own loop, with a SQLite ledger."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest

from app.api.server import serve
from app.broker.connection import RedisConnection
from app.ledger.opening import ledger_of
from app.settings import load
from tests.integration.api.api import Api
from tests.integration.api.stores import Stores
from tests.support.eventually import eventually

NOWHERE = "amqp://guest:guest@127.0.0.1:9/nowhere"
"""Where no broker is: what a mirror does is done by the tests."""


@pytest.fixture
def settings_of(env_name, redis_url, sqlite_path):
    def make(**overrides):
        given = {
            "env": env_name,
            "redis_url": redis_url,
            "sqlite_path": sqlite_path,
            "http_port": 0,
            "confirm_timeout_ms": 300,
        }
        return load(_env_file=None, **(given | overrides))

    return make


@pytest.fixture
async def stop_later():
    running = []
    yield running.append
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture
async def start(settings_of, stop_later):
    """Starts an API with some settings; gives its client."""
    sessions = []

    async def start(*, wait_for_ledger=True, **overrides):
        loop = asyncio.get_running_loop()
        listening = loop.create_future()
        settings = settings_of(**overrides)
        serving = asyncio.create_task(serve(settings, listening=listening.set_result))
        stop_later(serving)
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        sessions.append(session)
        api = Api(session, await listening, serving)
        if wait_for_ledger:
            await eventually(lambda: has_ledger(api))
        return api

    yield start
    for session in sessions:
        await session.close()


async def has_ledger(api):
    return (await api.get("/readyz")).document["checks"]["ledger"] == "ok"


@pytest.fixture
async def api(start):
    """An API without RabbitMQ."""
    return await start()


@pytest.fixture
async def mirrored_api(start):
    """An API that believes in a RabbitMQ it does not reach."""
    return await start(rabbitmq_url=NOWHERE)


@asynccontextmanager
async def opened(settings):
    redis, ledger = RedisConnection.from_settings(settings), ledger_of(settings)
    await ledger.open()
    yield Stores(redis, ledger, settings)
    await ledger.close()
    await redis.close()


@pytest.fixture
def stores_of():
    """Opens the stores that some settings name."""
    return opened


@pytest.fixture
async def stores(settings_of):
    """The same stores as the API's, for the test to look into and to act as mirror or worker."""
    async with opened(settings_of()) as stores:
        yield stores
