"""Whole systems: real processes on real servers, an env of its own for every test."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress

import aiohttp
import pytest

from app.stack.process import ChildProcess, free_port
from app.stack.stack import Stack
from app.stack.system import System
from tests.support.eventually import eventually
from tests.support.vhosts import remove_vhost

COMMAND_WITHIN_S = 150


@pytest.fixture(scope="session")
def stack(stack_folder):
    stack = Stack(stack_folder / "e2e")
    asyncio.run(stack.start())
    yield stack
    stack.discard()


class Board:
    """One system under test and what a test does to it."""

    def __init__(self, stack, system, environment, receiver_url, arrivals):
        self.stack = stack
        self.system = system
        self.environment = environment
        self.receiver_url = receiver_url
        self._arrivals = arrivals

    @property
    def api(self):
        return self.system.api.url

    def service(self, name):
        return self.system.services[name]

    def arrivals(self):
        """Task ids whose delivery the receiver took, each as often as it came."""
        lines = self._arrivals.read_text().splitlines() if self._arrivals.exists() else []
        found = [json.loads(line) for line in lines]
        return [each["task"].split("/")[2] for each in found if each["status"] == 200]

    def tries(self, task_id):
        """(run, attempt) of each delivery of a task that reached the receiver."""
        lines = self._arrivals.read_text().splitlines() if self._arrivals.exists() else []
        found = [json.loads(line) for line in lines]
        return [(e["run"], e["attempt"]) for e in found if e["task"].endswith(f"/{task_id}")]

    def delivery(self, task_id, **more):
        return {
            "taskId": task_id,
            "type": "http.deliver",
            "queue": "mail",
            "payload": {"url": self.receiver_url, "json": {"n": task_id}},
            **more,
        }

    async def submit(self, *bodies):
        """Receipts, in order; all must be accepted."""
        async with aiohttp.ClientSession() as session:

            async def one(body):
                async with session.post(f"{self.api}/v1/tasks", json=body) as response:
                    document = await response.json()
                    assert response.status in (200, 202), document
                    return document

            return await asyncio.gather(*(one(body) for body in bodies))

    async def get(self, path):
        timeout = aiohttp.ClientTimeout(total=70)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self.api + path) as response,
        ):
            return response.status, await response.json(content_type=None)

    async def post(self, path, body=None):
        timeout = aiohttp.ClientTimeout(total=70)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.api + path, json=body) as response,
        ):
            return response.status, await response.json(content_type=None)

    async def all_mirrored(self):
        """Wait until nothing is accepted that has no copy: a confirm may take longer than a submit."""

        async def none_waits():
            status, document = await self.get("/v1/queues/mail")
            return status == 200 and document["unmirroredTasks"] == 0

        await eventually(none_waits, within_s=60, every_s=0.1)

    async def copies(self):
        _, document = await self.get("/v1/queues/mail")
        return document.get("copies")

    def lifeboat(self, *arguments):
        """Start a command; a ``subprocess.Popen``."""
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def rehydrate(self, *arguments):
        """(exit code, report) of ``lifeboat rehydrate --json``."""
        process = self.lifeboat("rehydrate", "--json", *arguments)
        out, errors = await asyncio.to_thread(process.communicate, timeout=COMMAND_WITHIN_S)
        return process.returncode, json.loads(out) if out else errors

    async def wipe_redis(self):
        """Redis loses everything, of which all has its copy."""
        await self.all_mirrored()
        self.stack.redis.wipe()
        await self.stack.redis.start()


def environment_of(stack, env_name, database):
    return {
        **stack.environment(),
        "LIFEBOAT_ENV": env_name,
        "LIFEBOAT_RABBITMQ_URL": stack.rabbitmq.vhost_url(env_name),
        "LIFEBOAT_MONGO_URL": stack.mongo.database_url(database),
        "LIFEBOAT_DELIVER_ALLOW": "127.0.0.1",
        "LIFEBOAT_LEASE_MS": "2000",
        "LIFEBOAT_REHYDRATOR_LEASE_MS": "2000",
        "LIFEBOAT_MIRROR_LEASE_MS": "1500",
    }


@pytest.fixture
async def environment(stack, env_name):
    await stack.rabbitmq.create_vhost(env_name)
    yield environment_of(stack, env_name, env_name)
    await remove_vhost(stack.rabbitmq, env_name)


@pytest.fixture
def receiver(tmp_path):
    """(URL, file of arrivals) of an independent receiver."""
    port, arrivals = free_port(), tmp_path / "arrivals.jsonl"
    command = [sys.executable, "-m", "app.drill.receiver", "--port", str(port)]
    command += ["--file", str(arrivals)]
    process = ChildProcess("receiver", command, log=tmp_path / "receiver.log")
    process.start()
    yield f"http://127.0.0.1:{port}/hook", arrivals
    process.kill9()


@pytest.fixture
async def board(stack, environment, receiver, tmp_path):
    system = System(tmp_path / "log", environment)
    board = Board(stack, system, environment, *receiver)
    await eventually(lambda: answers(receiver[0].replace("/hook", "/ready")))
    await system.start()
    yield board
    for service in system.services.values():
        service.process.kill9()


async def answers(url):
    with suppress(aiohttp.ClientError, OSError):
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.ok
    return False
