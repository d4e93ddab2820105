"""Real servers for the whole run, started on first use; a namespace of its own for every test."""

import asyncio
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from app.stack.process import free_port
from app.stack.rabbitmq import RabbitMQServer
from app.stack.roots import NEWER, VARIABLE, chosen_root
from app.stack.servers import MongoServer, RedisServer
from tests.support.vhosts import remove_vhost

# How long an example takes says nothing on a machine that others use, too.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

KINDS = {"unit", "integration", "property", "model", "contract", "e2e", "architecture"}


def pytest_collection_modifyitems(items):
    root = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(root).parts[0]
        if kind in KINDS:
            item.add_marker(kind)


def started(kind, folder):
    server = kind(folder / kind.name)
    asyncio.run(server.start())
    return server


@pytest.fixture(scope="session")
def stack_folder():
    with tempfile.TemporaryDirectory(prefix="lifeboat-tests-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def redis_server(stack_folder):
    server = started(RedisServer, stack_folder)
    yield server
    server.kill9()


@pytest.fixture(scope="session")
def rabbitmq_server(stack_folder):
    server = started(RabbitMQServer, stack_folder)
    yield server
    server.kill9()
    server.epmd.kill9()


@pytest.fixture(scope="session")
def mongo_server(stack_folder):
    server = started(MongoServer, stack_folder)
    yield server
    server.kill9()


@pytest.fixture
def env_name():
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def unused_tcp_port():
    """Not one of those that the kernel gives to outgoing connections: nobody comes first."""
    return free_port()


@pytest.fixture
def redis_url(redis_server):
    return redis_server.url


@pytest.fixture
async def rabbitmq_url(rabbitmq_server, env_name):
    url = await rabbitmq_server.create_vhost(env_name)
    yield url
    await remove_vhost(rabbitmq_server, env_name)


@pytest.fixture
def rabbitmq_management_url(rabbitmq_server):
    return rabbitmq_server.management_url


@pytest.fixture
def mongo_url(mongo_server, env_name):
    return mongo_server.database_url(env_name)


@pytest.fixture
def sqlite_path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def private_redis(tmp_path):
    """A Redis of the test's own, to kill, wipe and restart."""
    server = started(RedisServer, tmp_path)
    yield server
    server.kill9()


@pytest.fixture
def newer_redis(tmp_path, monkeypatch):
    """The same, and of the newer pair where that one has been made (`make matrix-setup`)."""
    with monkeypatch.context() as patch:
        if chosen_root() is None and NEWER.exists():
            patch.setenv(VARIABLE, str(NEWER))
        server = started(RedisServer, tmp_path)
    yield server
    server.kill9()
