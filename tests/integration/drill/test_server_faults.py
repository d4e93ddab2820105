"""Each fault of a server is felt by its clients, and is over once it is healed."""

import os
import signal
import sys
from types import SimpleNamespace

import aio_pika
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.drill.nemesis import processes, servers
from app.drill.nemesis.schedule import Stroke
from app.stack.process import ChildProcess, StackError, free_port
from app.stack.servers import RedisServer
from tests.support.eventually import eventually


def game_of(*with_servers):
    found = {each.name: each for each in with_servers}
    return SimpleNamespace(
        stack=SimpleNamespace(
            redis=found.get("redis"),
            rabbitmq=found.get("rabbitmq"),
            mongo=found.get("mongo"),
            servers=list(with_servers),
        ),
        rpo=(0, 0.0),
    )


def stroke(target, variant="", for_ms=1_000):
    return Stroke("", target, variant, 0, for_ms)


@pytest.fixture
async def redis_alone(tmp_path):
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    server.kill9()


async def test_redis_without_memory_takes_no_writes(redis_alone):
    game = game_of(redis_alone)
    async with Redis.from_url(redis_alone.url) as client:
        await servers.fill(game, stroke("redis"))
        with pytest.raises(OutOfMemoryError):
            await client.set("a", "b")
        await servers.empty(game, stroke("redis"))
        assert await client.set("a", "b")


@pytest.mark.parametrize(
    ("variant", "error"), [("a replica", ReadOnlyError), ("too few replicas", ResponseError)]
)
async def test_redis_that_takes_no_writes_keeps_what_it_has(redis_alone, variant, error):
    game = game_of(redis_alone)
    async with Redis.from_url(redis_alone.url) as client:
        await client.set("a", "kept")
        await servers.refuse_writes(game, stroke("redis", variant))
        with pytest.raises(error):
            await client.set("a", "b")
        await servers.take_writes(game, stroke("redis", variant))
        assert await client.get("a") == b"kept"
        assert await client.set("a", "b")


async def test_a_wiped_redis_is_empty_and_what_had_no_copy_is_noted(redis_alone):
    game = game_of(redis_alone)
    async with Redis.from_url(redis_alone.url) as client:
        await client.xadd("lb:{e.t.q}:journal", {"a": "b"})
        await servers.wipe(game, stroke("redis"))
    await servers.start(game, stroke("redis"))
    async with Redis.from_url(redis_alone.url) as client:
        assert not await client.exists("lb:{e.t.q}:journal")
    assert game.rpo[0] == 1


async def test_a_stopped_redis_answers_once_it_goes_on(redis_alone):
    game = game_of(redis_alone)
    await servers.pause(game, stroke("redis"))
    async with Redis.from_url(redis_alone.url, socket_timeout=0.2) as client:
        with pytest.raises(RedisTimeoutError):
            await client.ping()
    await servers.resume(game, stroke("redis"))
    async with Redis.from_url(redis_alone.url) as client:
        assert await client.ping()


async def test_a_mongo_that_steps_down_is_no_primary_for_a_while(mongo_server):
    game = game_of(mongo_server)
    async with AsyncMongoClient(mongo_server.direct_url("t"), retryWrites=False) as client:
        await client.t.things.insert_one({})
        await servers.step_down(game, stroke("mongo", for_ms=8_000))

        async def is_refused():
            try:
                await client.t.things.insert_one({})
            except PyMongoError:
                return True
            return False

        await eventually(is_refused, within_s=6)
        await servers.be_primary(game, stroke("mongo"))
        await client.t.things.insert_one({})


@pytest.mark.parametrize("variant", ["memory", "disk"])
async def test_an_alarmed_rabbitmq_blocks_publishers(rabbitmq_server, rabbitmq_url, variant):
    game = game_of(rabbitmq_server)
    try:
        await servers.alarm(game, stroke("rabbitmq", variant))
        connection = await aio_pika.connect(rabbitmq_url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            message = aio_pika.Message(b"held")
            with pytest.raises(TimeoutError):
                await channel.default_exchange.publish(message, queue.name, timeout=0.5)
    finally:
        await servers.calm_down(game, stroke("rabbitmq", variant))

    async def is_over():
        memory, disk = rabbitmq_server.has_memory_alarm, rabbitmq_server.has_disk_alarm
        return not await memory() and not await disk()

    await eventually(is_over)


async def test_what_ended_by_itself_is_no_fault_of_the_nemesis(tmp_path):
    process = ChildProcess("api", [sys.executable, "-c", "print('oh no')"], log=tmp_path / "log")
    process.start()
    await eventually(lambda: not process.running)
    service = SimpleNamespace(name="api", process=process)
    game = SimpleNamespace(system=SimpleNamespace(services={"api": service}))
    with pytest.raises(StackError, match=r"ended by itself.*oh no"):
        await processes.kill(game, stroke("api"))


async def test_a_process_that_dies_at_a_point_is_started_without_it(tmp_path):
    seen = tmp_path / "seen"
    code = "import os, pathlib, time; pathlib.Path(os.environ['SEEN']).write_text(os.environ.get("
    code += "'LIFEBOAT_CRASH_AT', 'nowhere')); 'LIFEBOAT_CRASH_AT' in os.environ or time.sleep(60)"
    rehearsed = {}

    class Service:
        name = "worker"
        port = free_port()

        def use_environment(self, environment):
            self.process = ChildProcess(
                "worker",
                [sys.executable, "-c", code],
                log=tmp_path / "log",
                environment={**os.environ, "SEEN": str(seen), **environment},
            )

    service = Service()
    service.use_environment(rehearsed)
    service.process.start()
    game = SimpleNamespace(system=SimpleNamespace(services={"worker": service}), say=print)
    point = stroke("worker", "worker.after_ledger", for_ms=10_000)
    await processes.die_at(game, point)
    assert not service.process.running
    assert seen.read_text() == "worker.after_ledger"
    await processes.start(game, point)
    await eventually(lambda: seen.read_text() == "nowhere")
    os.kill(service.process.pid, signal.SIGKILL)
