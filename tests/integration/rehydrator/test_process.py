"""The process: waits for its servers with a sentence, serves, and gives back what it held."""

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from app.stack.process import free_port
from tests.integration.rehydrator.test_run import variables_of
from tests.integration.rehydrator.world import of_tenant
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[3]
SOURCE = "import sys; from app.cli.main import main; sys.exit(main())"


class Process:
    def __init__(self, port):
        self.port = port
        self.said = ""

    async def read(self, stream):
        async for line in stream:
            self.said += line.decode()

    async def answers(self, path):
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as response,
            ):
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def is_ready(self):
        return (await self.answers("/readyz"))[0] == 200

    async def figure(self, pattern):
        found = re.search(pattern + r" ([\d.]+)", (await self.answers("/metrics"))[1])
        return float(found[1]) if found else 0


@pytest.fixture
def rehydrator():
    @asynccontextmanager
    async def rehydrator(world, *arguments, **changes):
        process = Process(free_port())
        variables = variables_of(world) | {"LIFEBOAT_REHYDRATOR_PORT": str(process.port)}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SOURCE, "rehydrator", *arguments,
            cwd=ROOT, env={**os.environ, **variables, **changes},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        reading = asyncio.create_task(process.read(child.stderr))
        process.child = child
        try:
            yield process
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)
            await asyncio.wait_for(child.wait(), 60)
            await reading

    return rehydrator


async def test_it_serves_queues_it_finds_and_gives_back_at_the_end(world, rehydrator):
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.accept(envelope("a"), envelope("b"))
    async with rehydrator(world) as process:
        await eventually(process.is_ready, 60)
        await world.finish(envelope("a"))
        retired = r'copies_retired_total\{queue="mail",tenant="acme"\}'
        await eventually(lambda: process.figure(retired), 60)
        await world.ledger.ensure_queue("other", QUEUE, 10)
        await world.copy(of_tenant("other", "x"))
        restored = r'rehydrate_tasks_total\{outcome="restored",queue="mail",tenant="other"\}'
        await eventually(lambda: process.figure(restored), 60)
        await world.at_rest()
    assert process.child.returncode == 0
    assert await world.ready() == 2


async def test_with_redis_away_it_waits_with_one_sentence(make_world, private_redis, rehydrator):
    world = await make_world(redis_url=private_redis.url)
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.copy(envelope("a"))
    private_redis.kill9()
    async with rehydrator(world) as process:
        await eventually(lambda: "Waiting for Redis at 127.0.0.1" in process.said, 60)
        assert (await process.answers("/readyz"))[0] == 503
        await private_redis.start()
        await world.reattach()
        await eventually(world.broker.ready_ids, 60)
    assert process.child.returncode == 0
    assert process.said.count("Waiting for Redis") == 1


async def test_with_rabbitmq_away_it_waits_with_one_sentence(world, rehydrator):
    nowhere = f"amqp://guest:guest@127.0.0.1:{free_port()}/x"
    async with rehydrator(world, LIFEBOAT_RABBITMQ_URL=nowhere) as process:
        await eventually(lambda: "Waiting for RabbitMQ at 127.0.0.1" in process.said, 60)
    assert process.child.returncode == 0


async def test_it_needs_rabbitmq(world, rehydrator):
    async with rehydrator(world, LIFEBOAT_RABBITMQ_URL="") as process:
        await process.child.wait()
    assert process.child.returncode == 2
    assert "LIFEBOAT_RABBITMQ_URL" in process.said


async def test_a_foreign_copy_ends_it_with_a_sentence(world, rehydrator):
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.copy(envelope("a"), env="other")
    async with rehydrator(world) as process:
        await asyncio.wait_for(process.child.wait(), 60)
    assert process.child.returncode == 1
    assert "copies of env 'other'" in process.said
