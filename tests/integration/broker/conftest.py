"""A queue of the test's own, attached and not paused."""

import pytest

from tests.support.broker import Broker, connect


@pytest.fixture
async def redis(redis_url):
    connection = connect(redis_url)
    yield connection
    await connection.close()


@pytest.fixture
async def broker(redis, env_name):
    broker = Broker(redis, env_name)
    await broker.attach()
    return broker
