"""A set of private servers, started in parallel and ended together."""

import asyncio
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.stack.cluster import RabbitMQCluster
from app.stack.mongo_set import MongoSet
from app.stack.process import StackError, together
from app.stack.rabbitmq import RabbitMQServer
from app.stack.replica import RedisReplica
from app.stack.servers import MongoServer, RedisServer, Server
from app.stack.sources import Images, mongo_source

VHOST: Final = "lifeboat"
DATABASE: Final = "lifeboat"
NO_IMAGES: Final = Images()


class Stack:
    """Redis, RabbitMQ and (unless SQLite serves) MongoDB in one folder.

    ``cluster``, ``replica`` and ``mongo_set`` are None where they were not asked for; where
    ``cluster`` is there, ``rabbitmq`` is its first node; ``mongo`` is the set's first member.
    """

    def __init__(
        self,
        folder: Path,
        *,
        images: Images = NO_IMAGES,
        mongo: bool = True,
        given: Collection[str] = (),
        detached: bool = False,
        clustered: bool = False,
        replicated: bool = False,
        electing: bool = False,
    ) -> None:
        """``given`` names servers that somebody else runs: they are neither started nor named.

        ``clustered``: RabbitMQ of three nodes; ``replicated``: Redis with a replica; ``electing``:
        MongoDB of three members. All are made of this machine's binaries: containers do not see
        each other on the loopback.
        """
        self.folder = folder
        self.vhost = VHOST
        redis_image = "" if replicated else images.redis
        self.redis = RedisServer(folder / "redis", image=redis_image, detached=detached)
        self.replica = self.cluster = None
        if replicated:
            self.replica = RedisReplica(folder / "replica", self.redis, detached=detached)
        if clustered:
            self.cluster = RabbitMQCluster(folder / "rabbitmq", detached=detached)
            self.rabbitmq = self.cluster.nodes[0]
        else:
            self.rabbitmq = RabbitMQServer(
                folder / "rabbitmq", image=images.rabbitmq, detached=detached
            )
        self.mongo: MongoServer | None = None
        self.mongo_set = None
        mongo_image = "" if electing else images.mongo
        if mongo and mongo_source(mongo_image).exists:
            if electing:
                self.mongo_set = MongoSet(folder / "mongo", detached=detached)
                self.mongo = self.mongo_set.members[0]
            else:
                self.mongo = MongoServer(folder / "mongo", image=mongo_image, detached=detached)
        self._given = frozenset(given)

    @property
    def brokers(self) -> Sequence[RabbitMQServer]:
        """RabbitMQ's nodes."""
        return self.cluster.nodes if self.cluster else (self.rabbitmq,)

    @property
    def ledgers(self) -> Sequence[MongoServer]:
        """MongoDB's members; none where SQLite serves."""
        return self.mongo_set.members if self.mongo_set else [self.mongo] if self.mongo else []

    @property
    def servers(self) -> list[Server]:
        """Those of its own."""
        own = [self.redis, self.replica, *self.brokers, *self.ledgers]
        return [server for server in own if server and server.name not in self._given]

    async def start(self) -> None:
        """All at once.

        Raises:
            StackError: a server did not come.
        """
        try:
            await together(server.start() for server in self.servers)
            if self.replica:
                await self.replica.follow()
            if self.cluster:
                await self.cluster.until_joined()
            if self.mongo_set:
                await self.mongo_set.initiate()
            if self.rabbitmq in self.servers:
                await self.rabbitmq.create_vhost(self.vhost)
        except BaseException as error:
            for server in self.servers:
                server.kill9()
            if isinstance(error, TimeoutError):
                raise StackError(str(error)) from error
            raise

    async def stop(self) -> None:
        """All at once."""
        await asyncio.gather(*(server.stop() for server in self.servers))
        self.rabbitmq.epmd.kill9()

    def discard(self) -> None:
        """All at once, without a goodbye and with their data: nobody needs them again."""
        for server in self.servers:
            server.discard()
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
            rabbitmq = self.cluster or self.rabbitmq
            named["LIFEBOAT_RABBITMQ_URL"] = rabbitmq.vhost_url(self.vhost)
            named["LIFEBOAT_RABBITMQ_MANAGEMENT_URL"] = rabbitmq.management_url
        if self.mongo in self.servers and self.mongo:
            named["LIFEBOAT_MONGO_URL"] = self.mongo.database_url(DATABASE)
        elif self.mongo is None:
            named["LIFEBOAT_SQLITE_PATH"] = str(self.folder / "ledger.sqlite")
        return named
