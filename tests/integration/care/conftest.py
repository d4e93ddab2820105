"""A queue in three stores, and the commands of an operator on it."""

import asyncio
import os
import sys
from pathlib import Path

import orjson
import pytest

from app.amqp.connection import open_channel
from app.amqp.topology import mirror_queue
from tests.integration.rehydrator.world import World
from tests.support.envelopes import QUEUE, TENANT

ROOT = Path(__file__).parents[3]
GIVEN = {
    "env", "tenant", "redis_url", "rabbitmq_url", "rabbitmq_management_url", "mongo_url",
    "sqlite_path", "store_timeout_ms", "mirror_lease_ms", "rehydrator_lease_ms", "lease_ms",
}  # fmt: skip


class Ward(World):
    """What an operator finds, and what befell the copies."""

    async def __aenter__(self):
        await super().__aenter__()
        await self.ledger.ensure_queue(TENANT, QUEUE, 100)
        return self

    async def lifeboat(self, *arguments):
        """(exit code, document on stdout, stderr) of a command in a process of its own."""
        given = self.settings.model_dump(include=GIVEN, exclude_none=True)
        clean = {name: v for name, v in os.environ.items() if not name.startswith("LIFEBOAT_")}
        variables = {f"LIFEBOAT_{name.upper()}": str(value) for name, value in given.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.cli", *arguments, "--json",
            cwd=ROOT, env={**clean, **variables},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await asyncio.wait_for(process.communicate(), 120)
        return process.returncode, orjson.loads(out) if out else None, errors.decode()

    async def delete_queue(self, queue=QUEUE):
        async with open_channel(self.connection) as channel:
            await channel.queue_delete(mirror_queue(queue))

    async def copy_ids(self):
        """Task ids of the copies that are ready, taken off the queue."""
        found = []
        async with open_channel(self.connection) as channel:
            queue = await channel.get_queue(mirror_queue(QUEUE), ensure=False)
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                found.append(message.headers.get("x-task-id"))
        return [each for each in found if each is not None]

    async def marks(self, *task_ids):
        tasks = [(each, 1) for each in task_ids]
        return await self.broker.intake.mirrored(self.broker.token, tasks)


@pytest.fixture
async def make_ward(env_name, redis_url, rabbitmq_url, sqlite_path):
    made = []

    async def make(**settings):
        settings.setdefault("redis_url", redis_url)
        if "mongo_url" not in settings:
            settings["sqlite_path"] = sqlite_path
        settings.setdefault("mirror_lease_ms", 1_000)
        settings.setdefault("rabbitmq_url", rabbitmq_url)
        made.append(await Ward(env_name, **settings).__aenter__())
        return made[-1]

    yield make
    for ward in made:
        await ward.__aexit__()


@pytest.fixture
async def ward(make_ward):
    return await make_ward()
