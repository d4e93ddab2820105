"""Servers: how each is started, told ready by a real round trip, and emptied."""

import asyncio
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import Redis

from app.stack.container import Container
from app.stack.process import ChildProcess, StackError, kept_port, until
from app.stack.sources import HINTS, Source, mongo_source, redis_source

READY_WITHIN_MS = 60_000
REDIS_OPTIONS = (
    "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
    "--maxmemory-policy", "noeviction",
)  # fmt: skip
MONGO_OPTIONS = ("--replSet", "lifeboat", "--oplogSize", "128", "--quiet")


class Server(ABC):
    """A private server with a folder of its own; ``detached``: it may outlive this process."""

    name: str

    def __init__(self, folder: Path, source: Source, *, detached: bool = False) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.source = source
        self.program = str(source.program)
        self.detached = detached
        self.process = self._contain() if source.image else self._make()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    @property
    def container_id(self) -> str:
        """Where it lives in a container: whose id; else empty."""
        return self._note.read_text() if self.source.image and self._note.exists() else ""

    @property
    def _note(self) -> Path:
        return self.folder / "container"

    async def start(self) -> None:
        """Start and wait until it really answers.

        Raises:
            StackError: it did not; with the end of its log.
        """
        if not self.source.exists:
            raise StackError(HINTS[self.source.server])
        self.data.mkdir(parents=True, exist_ok=True)
        self.process.start()
        try:
            await until(self._answers, READY_WITHIN_MS, f"{self.name} to answer")
        except TimeoutError as error:
            raise StackError(f"{error} Its log ends: {self.process.tail()}") from error

    def kill9(self) -> None:
        """End it without a goodbye."""
        self.process.kill9()

    def wipe(self) -> None:
        """End it and remove its data: what is started next is empty.

        Raises:
            StackError: some of its data is still there.
        """
        self.discard()
        if self.data.exists():
            raise StackError(f"The data of {self.name} cannot be removed: {self.data}.")

    def discard(self) -> None:
        """The same where nobody needs it again: what cannot be removed stays."""
        self.kill9()
        self.process.forget()
        shutil.rmtree(self.data, ignore_errors=True)

    async def restart(self) -> None:
        """Kill -9 and start again on the same data."""
        self.kill9()
        await self.start()

    async def stop(self) -> None:
        """End it."""
        await self.process.stop()

    async def _answers(self) -> bool:
        if not self.process.running:
            raise StackError(f"{self.name} ended at once. Its log ends: {self.process.tail()}")
        try:
            async with asyncio.timeout(5):
                await self._round_trip()
        except Exception:
            return False
        return True

    @abstractmethod
    def _make(self) -> ChildProcess:
        """The process, with its files laid out."""

    @abstractmethod
    def _contain(self) -> Container:
        """The same from its image."""

    @abstractmethod
    async def _round_trip(self) -> None:
        """Ask for something only a working server can answer."""


class RedisServer(Server):
    """Redis with an append-only file and no eviction."""

    name = "redis"

    def __init__(self, folder: Path, *, image: str = "", detached: bool = False) -> None:
        self.port = kept_port(folder, "redis")
        super().__init__(folder, redis_source(image), detached=detached)

    @property
    def url(self) -> str:
        """``redis://…/0``."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _make(self) -> ChildProcess:
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data)]
        log = self.folder / "redis.log"
        command = [self.program, *place, *REDIS_OPTIONS]
        return ChildProcess(self.name, command, log=log, detached=self.detached)

    def _contain(self) -> Container:
        return Container(
            self.name,
            self.source.image,
            command=["redis-server", "--protected-mode", "no", *REDIS_OPTIONS],
            note=self._note,
            ports={6379: self.port},
            kept=self.detached,
        )

    async def _round_trip(self) -> None:
        client = Redis.from_url(self.url)
        try:
            await client.set("lb-stack-ready", 1, px=1)
        finally:
            await client.aclose()


class MongoServer(Server):
    """A one-node replica set: transactions, and majority writes that are journaled."""

    name = "mongo"

    def __init__(self, folder: Path, *, image: str = "", detached: bool = False) -> None:
        self.port = kept_port(folder, "mongo")
        super().__init__(folder, mongo_source(image), detached=detached)

    def database_url(self, database: str) -> str:
        """The URL of one database."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?replicaSet=lifeboat"

    def direct_url(self, database: str) -> str:
        """The same for a client that is not to ask the set for other addresses."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?directConnection=true"

    def _make(self) -> ChildProcess:
        command = [self.program, "--dbpath", str(self.data), "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
        command += MONGO_OPTIONS
        log = self.folder / "mongod.log"
        return ChildProcess(self.name, command, log=log, detached=self.detached)

    def _contain(self) -> Container:
        # The same port inside: the member must reach itself under the set's address.
        return Container(
            self.name,
            self.source.image,
            command=["mongod", "--port", str(self.port), "--bind_ip_all", *MONGO_OPTIONS],
            note=self._note,
            ports={self.port: self.port},
            kept=self.detached,
        )

    async def _round_trip(self) -> None:
        client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(
            self.direct_url("admin"), serverSelectionTimeoutMS=1_000
        )
        try:
            hello = await client.admin.command("hello")
            if hello.get("isreplicaset"):
                await self._initiate(client)
            if not hello.get("isWritablePrimary"):
                raise StackError("no primary yet")
        finally:
            client.close()

    async def _initiate(self, client: AsyncIOMotorClient[dict[str, object]]) -> None:
        """Make it a set of its own; one that remembers another port is told the new one."""
        known = await client["local"]["system.replset"].find_one()
        config: dict[str, object] = {
            "_id": "lifeboat",
            "members": [{"_id": 0, "host": f"127.0.0.1:{self.port}"}],
        }
        if known is None:
            await client.admin.command("replSetInitiate", config)
        else:
            config["version"] = int(str(known["version"])) + 1
            await client.admin.command("replSetReconfig", config, force=True)
