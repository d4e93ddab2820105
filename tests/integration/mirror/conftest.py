"""One queue of one env: its producers, its mirrors, and what RabbitMQ has of it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.amqp.connection import close_connection, open_channel, open_connection
from app.amqp.declare import ready_count
from app.amqp.topology import mirror_queue
from app.broker.connection import RedisConnection
from app.broker.intake import Intake, Submission
from app.broker.watermark import read_mirror_state
from app.ledger.opening import ledger_of
from app.lifecycle import cancel, wait_for
from app.metrics import Metrics
from app.names import QueueName, new_token
from app.sessions import QueueSession
from app.settings import Settings
from app.stack.process import ChildProcess
from mirror.mirror import QueueMirror, Servers
from mirror.publisher import open_publisher
from mirror.topology import Topology
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually
from tests.support.proxy import Proxy

NAME = QueueName(TENANT, QUEUE)
ROOT = Path(__file__).parents[3]


class World:
    """A producer's view of the queue, and its copies."""

    def __init__(self, settings, ledger, connection):
        self.settings = settings
        self.ledger = ledger
        self.redis = RedisConnection.from_settings(settings)
        self.raw = self.redis.redis
        self.session = QueueSession(self.redis, ledger, settings.env, NAME, adopt=False)
        self.keys = self.session.keys
        self.intake = Intake(self.redis, self.keys, queue_max=99_999, unmirrored_max=99_999)
        self._connection = connection

    async def submit(self, *ids, **options):
        """Enqueue tasks; their journal ids."""
        token = await self.session.token()
        made = [Submission(envelope(each, **options), fresh=True) for each in ids]
        return [each.journal_id for each in await self.intake.enqueue(token, made)]

    async def marks(self, *ids):
        return await self.intake.mirrored(await self.session.token(), [(each, 1) for each in ids])

    async def all_marked(self, *ids):
        return all(await self.marks(*ids))

    async def journal_ids(self):
        return [entry_id.decode() for entry_id, _ in await self.raw.xrange(self.keys.journal)]

    async def figures(self):
        found = await self.raw.hgetall(self.keys.mirror)
        return {name.decode(): value.decode() for name, value in found.items()}

    async def mirror_state(self):
        return await read_mirror_state(self.redis, self.keys, await self.session.token())

    async def copies_ready(self):
        return await ready_count(self._connection, QUEUE)

    async def take_copies(self):
        """Everything in the mirror queue, taken off it."""
        async with open_channel(self._connection) as channel:
            queue = await channel.get_queue(mirror_queue(QUEUE), ensure=False)
            found = []
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                found.append(message)
            return found

    async def taken_ids(self):
        return [message.headers["x-task-id"] for message in await self.take_copies()]

    async def start_ids_at(self, journal_id):
        """Let the next journal id come right after ``journal_id``."""
        await self.raw.xgroup_create(self.keys.journal, "setid", mkstream=True)
        await self.raw.execute_command("XSETID", self.keys.journal, journal_id)
        await self.raw.xgroup_destroy(self.keys.journal, "setid")


class Running:
    """One mirror in this process, with a publisher of its own."""

    def __init__(self, settings, ledger):
        self.metrics = Metrics()
        self.owner = new_token()
        self.redis = RedisConnection.from_settings(settings)
        self.publisher = open_publisher(settings.mirror_publisher, settings.rabbitmq_url, "mirror")
        self.topology = Topology(settings.rabbitmq_url, settings.env, None)
        servers = Servers(
            settings,
            self.redis,
            ledger,
            self.publisher,
            self.topology,
            self.metrics,
            self.owner,
        )
        self.task = asyncio.create_task(QueueMirror(servers, NAME).run())

    def total(self, name):
        labels = {"tenant": TENANT, "queue": QUEUE}
        return self.metrics.registry.get_sample_value(f"lifeboat_{name}", labels)

    async def counts(self, n, name):
        """Wait until a figure says so: a mirror counts once Redis has answered it, too."""
        await eventually(lambda: (self.total(name) or 0) >= n)
        assert self.total(name) == n

    def shows(self, name):
        return self.total(name) is not None

    async def stop(self):
        await cancel(self.task)
        await self.publisher.close()
        await self.topology.close()
        await self.redis.close()


@pytest.fixture
def make_settings(env_name, rabbitmq_url, sqlite_path):
    def make(**given):
        return Settings(
            _env_file=None,
            **{
                "env": env_name,
                "rabbitmq_url": rabbitmq_url,
                "sqlite_path": sqlite_path,
                "mirror_lease_ms": 1_000,
                "mirror_port": 0,
                **given,
            },
        )

    return make


@pytest.fixture(params=["batched", "plain"])
def publisher_kind(request):
    return request.param


@pytest.fixture
def settings(make_settings, redis_url):
    return make_settings(redis_url=redis_url)


@pytest.fixture
async def ledger(settings):
    ledger = ledger_of(settings)
    await wait_for("the ledger", ledger.open)
    yield ledger
    await ledger.close()


@pytest.fixture
async def connection(rabbitmq_url):
    connection = await open_connection(rabbitmq_url, "test")
    yield connection
    await close_connection(connection)


@pytest.fixture
async def world(settings, ledger, connection):
    world = World(settings, ledger, connection)
    yield world
    await world.redis.close()


@pytest.fixture
async def proxy(rabbitmq_url):
    async with Proxy(rabbitmq_url) as proxy:
        yield proxy


@pytest.fixture
async def start_mirror(settings, ledger):
    """Start a mirror in this process; settings may be changed."""
    started = []

    def start(**given):
        running = Running(settings.model_copy(update=given), ledger)
        started.append(running)
        return running

    yield start
    for running in started:
        await running.stop()


@pytest.fixture
async def proxied(start_mirror, world, proxy):
    """A mirror that reaches RabbitMQ through ``proxy`` and has mirrored one task, taken off."""
    mirror = start_mirror(rabbitmq_url=proxy.url)
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    assert await world.taken_ids() == ["first"]
    return mirror


@pytest.fixture
def start_process(tmp_path, settings):
    """``python -m mirror`` with the settings of this test; keywords are further variables."""
    started = []

    def start(**given):
        chosen = {
            "ENV": settings.env,
            "REDIS_URL": settings.redis_url,
            "RABBITMQ_URL": settings.rabbitmq_url,
            "SQLITE_PATH": str(settings.sqlite_path),
            "MIRROR_LEASE_MS": str(settings.mirror_lease_ms),
            "MIRROR_PORT": "0",
            **given,
        }
        clean = {name: v for name, v in os.environ.items() if not name.startswith("LIFEBOAT_")}
        process = ChildProcess(
            "mirror",
            [sys.executable, "-m", "mirror"],
            log=tmp_path / f"mirror-{len(started)}.log",
            environment={
                **clean,
                "PYTHONPATH": str(ROOT),
                **{f"LIFEBOAT_{name}": value for name, value in chosen.items() if value},
            },
        )
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill9()
