"""A set of private servers, started in parallel and ended together."""

import asyncio
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.stack.process import together
from app.stack.servers import MongoServer, RabbitMQServer, RedisServer, Server
from app.stack.sources import Images, mongo_source

VHOST: Final = "lifeboat"
DATABASE: Final = "lifeboat"
NO_IMAGES: Final = Images()


class Stack:
    """Redis, RabbitMQ and (unless SQLite serves) MongoDB in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        images: Images = NO_IMAGES,
        mongo: bool = True,
        given: Collection[str] = (),
        detached: bool = False,
    ) -> None:
        """``given`` names servers that somebody else runs: they are neither started nor named."""
        self.folder = folder
        self.redis = RedisServer(folder / "redis", image=images.redis, detached=detached)
        self.rabbitmq = RabbitMQServer(
            folder / "rabbitmq", image=images.rabbitmq, detached=detached
        )
        self.mongo = None
        if mongo and mongo_source(images.mongo).exists:
            self.mongo = MongoServer(folder / "mongo", image=images.mongo, detached=detached)
        self._given = frozenset(given)

    @property
    def servers(self) -> list[Server]:
        """Those of its own."""
        own = [self.redis, self.rabbitmq, *([self.mongo] if self.mongo else [])]
        return [server for server in own if server.name not in self._given]

    async def start(self) -> None:
        """All at once."""
        try:
            await together(server.start() for server in self.servers)
            if self.rabbitmq in self.servers:
                await self.rabbitmq.create_vhost(VHOST)
        except BaseException:
            for server in self.servers:
                server.kill9()
            raise

    async def stop(self) -> None:
        """All at once."""
        await asyncio.gather(*(server.stop() for server in self.servers))

    def discard(self) -> None:
        """All at once, without a goodbye and with their data: nobody needs them again."""
        for server in self.servers:
            server.wipe()
        self.rabbitmq.epmd.kill9()

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
        named = {}
        if not os.environ.get("LIFEBOAT_SPOOL_DIR"):
            named["LIFEBOAT_SPOOL_DIR"] = str(self.folder / "spool")
        if self.redis in self.servers:
            named["LIFEBOAT_REDIS_URL"] = self.redis.url
        if self.rabbitmq in self.servers:
            named["LIFEBOAT_RABBITMQ_URL"] = self.rabbitmq.vhost_url(VHOST)
            named["LIFEBOAT_RABBITMQ_MANAGEMENT_URL"] = self.rabbitmq.management_url
        if self.mongo in self.servers and self.mongo:
            named["LIFEBOAT_MONGO_URL"] = self.mongo.database_url(DATABASE)
        elif self.mongo is None:
            named["LIFEBOAT_SQLITE_PATH"] = str(self.folder / "ledger.sqlite")
        return named
