"""A set of private servers, started in parallel and ended together."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from app.stack.servers import MongoServer, RabbitMQServer, RedisServer, Server
from app.stack.sources import mongo_source

VHOST = "lifeboat"
DATABASE = "lifeboat"


class Stack:
    """Redis, RabbitMQ and (unless SQLite serves) MongoDB in one folder."""

    def __init__(self, folder: Path, *, mongo: bool = True, detached: bool = False) -> None:
        self.folder = folder
        self.redis = RedisServer(folder / "redis", detached=detached)
        self.rabbitmq = RabbitMQServer(folder / "rabbitmq", detached=detached)
        wanted = mongo and mongo_source().program is not None
        self.mongo = MongoServer(folder / "mongo", detached=detached) if wanted else None

    @property
    def servers(self) -> list[Server]:
        """Those that run."""
        return [self.redis, self.rabbitmq, *([self.mongo] if self.mongo else [])]

    async def start(self) -> None:
        """All at once."""
        try:
            async with asyncio.TaskGroup() as group:
                for server in self.servers:
                    group.create_task(server.start())
        except BaseException:
            await self.stop()
            raise
        await self.rabbitmq.create_vhost(VHOST)

    async def stop(self) -> None:
        """All at once."""
        await asyncio.gather(*(server.stop() for server in self.servers))

    async def __aenter__(self) -> Self:
        """Started."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stopped, whatever happened."""
        await self.stop()

    def environment(self) -> dict[str, str]:
        """The ``LIFEBOAT_*`` variables that point a process at these servers."""
        named = {
            "LIFEBOAT_REDIS_URL": self.redis.url,
            "LIFEBOAT_RABBITMQ_URL": self.rabbitmq.vhost_url(VHOST),
            "LIFEBOAT_RABBITMQ_MANAGEMENT_URL": self.rabbitmq.management_url,
        }
        if self.mongo:
            named["LIFEBOAT_MONGO_URL"] = self.mongo.database_url(DATABASE)
        else:
            named["LIFEBOAT_SQLITE_PATH"] = str(self.folder / "ledger.sqlite")
        return named
