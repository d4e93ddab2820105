import pytest

from tests.integration.worker.house import House


@pytest.fixture
async def house(redis_url, env_name, sqlite_path):
    house = House(redis_url, env_name, sqlite_path)
    await house.open()
    yield house
    await house.close()
