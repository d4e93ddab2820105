"""The ground of a bench: private servers, and namespaces on them that nobody has used before."""

import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from app.amqp.connection import close_connection, open_connection
from app.amqp.declare import declare, declare_queue, ready_count
from app.bench.material import QUEUE
from app.broker.connection import RedisConnection
from app.broker.intake import Intake, Submission
from app.ledger.ledger import Ledger
from app.ledger.opening import ledger_of
from app.lifecycle import wait_for
from app.names import QueueName, new_token
from app.sessions import QueueSession
from app.settings import Settings, load
from app.stack.process import ChildProcess
from app.stack.stack import Stack

PREFIX: Final = "LIFEBOAT_"
TASKS_A_FILL: Final = 100
NO_LIMIT: Final = 100_000_000
SLOTS: Final = 500
"""Tasks the worker runs at a time: no-op tasks are limited by calls, not by waiting."""


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace: an env, a vhost and a ledger of its own, with one queue, ``bench``."""

    settings: Settings
    environment: Mapping[str, str]
    folder: Path
    redis: RedisConnection
    ledger: Ledger

    @property
    def name(self) -> QueueName:
        """The queue's full name."""
        return QueueName(self.settings.tenant, QUEUE)

    @property
    def rabbitmq_url(self) -> str:
        """The AMQP URL of the vhost."""
        return str(self.settings.rabbitmq_url)

    def session(self) -> QueueSession:
        """A view of the queue in Redis."""
        return QueueSession(self.redis, self.ledger, self.settings.env, self.name, adopt=False)

    def intake(self, session: QueueSession) -> Intake:
        """The producer's verbs."""
        return Intake(self.redis, session.keys, queue_max=NO_LIMIT, unmirrored_max=NO_LIMIT)

    async def fill(self, submissions: Iterable[Submission]) -> QueueSession:
        """Enqueue tasks; the session they were enqueued under."""
        session = self.session()
        token = await session.token()
        intake = self.intake(session)
        coming = iter(submissions)
        while batch := list(islice(coming, TASKS_A_FILL)):
            await intake.enqueue(token, batch)
        return session

    async def declare_topology(self) -> None:
        """Exchanges and the mirror queue, as the mirror declares them."""
        connection = await open_connection(self.rabbitmq_url, "bench")
        try:
            await declare(connection, self.settings.env)
            await declare_queue(connection, QUEUE)
        finally:
            await close_connection(connection)

    async def copies(self) -> int:
        """Messages ready in the mirror queue."""
        connection = await open_connection(self.rabbitmq_url, "bench")
        try:
            return await ready_count(connection, QUEUE)
        finally:
            await close_connection(connection)

    def command(self, *arguments: str) -> list[str]:
        """How to run ``lifeboat`` with these arguments."""
        return [sys.executable, "-m", "app.cli", *arguments]

    def process(self, *arguments: str) -> ChildProcess:
        """``lifeboat`` with these arguments, not yet started."""
        log = self.folder / f"{arguments[0]}.log"
        command = self.command(*arguments)
        return ChildProcess(arguments[0], command, log=log, environment=self.whole_environment())

    def whole_environment(self) -> dict[str, str]:
        """This process's environment with our settings instead of its own."""
        others = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        return {**others, **self.environment}


class Ground:
    """Running private servers."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self._folder = folder

    @asynccontextmanager
    async def place(self, **overrides: Any) -> AsyncIterator[Place]:
        """A namespace in an empty Redis, with its stores opened; ``overrides`` are settings."""
        env = f"bench-{new_token()[:12]}"
        fields = {**self._fields(env, await self.stack.rabbitmq.create_vhost(env)), **overrides}
        settings = load(_env_file=None, **fields)
        named = {k: str(v) for k, v in fields.items() if v is not None}
        redis, ledger = RedisConnection.from_settings(settings), ledger_of(settings)
        try:
            await redis.redis.flushall()
            await wait_for("the ledger", ledger.open)
            await ledger.ensure_queue(settings.tenant, QUEUE, settings.limit_queues)
            yield Place(
                settings=settings,
                environment={PREFIX + k.upper(): v for k, v in named.items()},
                folder=self._folder / env,
                redis=redis,
                ledger=ledger,
            )
        finally:
            await redis.close()
            await ledger.close()
            await self.stack.rabbitmq.delete_vhost(env)

    def _fields(self, env: str, vhost_url: str) -> dict[str, Any]:
        stack, folder = self.stack, self._folder / env
        folder.mkdir(parents=True)
        return {
            "env": env,
            "redis_url": stack.redis.url,
            "rabbitmq_url": vhost_url,
            "rabbitmq_management_url": stack.rabbitmq.management_url,
            "mongo_url": stack.mongo.database_url(env) if stack.mongo else None,
            "sqlite_path": None if stack.mongo else folder / "ledger.sqlite",
            "worker_port": 0,
            "mirror_port": 0,
            "rehydrator_port": 0,
            "spool_dir": folder / "spool",
            "concurrency": SLOTS,
            "queue_max": NO_LIMIT,
            "unmirrored_max": NO_LIMIT,
        }
