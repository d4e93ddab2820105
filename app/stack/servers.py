"""The three servers: how each is started, told ready by a real round trip, and emptied."""

import asyncio
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

import aio_pika
import aiohttp
from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import Redis

from app.stack.container import Container
from app.stack.process import ChildProcess, StackError, free_port, kept_port, until
from app.stack.sources import HINTS, Source, mongo_source, rabbitmq_source, redis_source

READY_WITHIN_MS = 60_000
CONTROL_WITHIN_S = 60
REDIS_OPTIONS = (
    "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
    "--maxmemory-policy", "noeviction",
)  # fmt: skip
MONGO_OPTIONS = ("--replSet", "lifeboat", "--oplogSize", "128", "--quiet")
PLUGINS = "[rabbitmq_management, rabbitmq_prometheus].\n"


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
        """End it and remove its data: what is started next is empty."""
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


def _kept_tag(folder: Path) -> str:
    """A node's name and cookie: with another name it would not find its data again."""
    note = folder / "node"
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(secrets.token_hex(4))
    return note.read_text()


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


class RabbitMQServer(Server):
    """One RabbitMQ node with management and Prometheus plugins, and an epmd of its own."""

    name = "rabbitmq"

    def __init__(self, folder: Path, *, image: str = "", detached: bool = False) -> None:
        self.port = kept_port(folder, "amqp")
        self.management_port = kept_port(folder, "management")
        self.epmd_port, self._dist_port = free_port(), free_port()
        self._prometheus_port = free_port()
        self._tag = _kept_tag(folder)
        super().__init__(folder, rabbitmq_source(image), detached=detached)
        self.epmd = ChildProcess(
            "epmd",
            ["epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"],
            log=self.folder / "epmd.log",
            detached=detached,
        )

    @property
    def management_url(self) -> str:
        """``http://guest:guest@…`` of the management API and dashboard."""
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    @property
    def dashboard_url(self) -> str:
        """The dashboard's address without the credentials."""
        return f"http://127.0.0.1:{self.management_port}"

    def vhost_url(self, vhost: str) -> str:
        """The AMQP URL of one vhost."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost}"

    async def start(self) -> None:
        """Epmd first: the node registers with it."""
        if not self.source.image and not self.epmd.running:
            self.epmd.start()
        await super().start()

    async def stop(self) -> None:
        """The node, then its epmd."""
        await super().stop()
        self.epmd.kill9()

    async def create_vhost(self, name: str) -> str:
        """Make a vhost; its AMQP URL."""
        await self._management("PUT", f"/api/vhosts/{name}")
        await self._management(
            "PUT",
            f"/api/permissions/{name}/guest",
            {"configure": ".*", "write": ".*", "read": ".*"},
        )
        return self.vhost_url(name)

    def has_on_disk(self, queue: str) -> bool:
        """Whether a quorum queue's name is written down; killed before, 3.10 brings it back dead.

        True in a container, whose data is not seen from here.
        """
        if self.source.image:
            return True
        return any(queue.encode() in file.read_bytes() for file in self.data.rglob("names.dets"))

    async def control(self, *arguments: str) -> None:
        """``rabbitmqctl``.

        Raises:
            StackError: it failed or took too long; with its last words.
        """
        if isinstance(self.process, Container):
            command, environment = self.process.inside("rabbitmqctl"), None
        else:
            command = [str(Path(self.program).with_name("rabbitmqctl"))]
            command += ["--erlang-cookie", self._tag]
            environment = self._environment()
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(CONTROL_WITHIN_S):
                words, _ = await process.communicate()
        except TimeoutError as error:
            process.kill()
            raise StackError(f"rabbitmqctl took over {CONTROL_WITHIN_S} s.") from error
        if process.returncode:
            raise StackError(f"rabbitmqctl failed: {words.decode(errors='replace')[-800:]}")

    async def has_memory_alarm(self) -> bool:
        """Whether the node blocks publishers for want of memory."""
        timeout = aiohttp.ClientTimeout(total=20)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{self.management_url}/api/nodes") as response,
        ):
            return any(node["mem_alarm"] for node in await response.json())

    async def delete_vhost(self, name: str) -> None:
        """Remove a vhost and all that is in it."""
        await self._management("DELETE", f"/api/vhosts/{name}")

    async def _management(self, method: str, path: str, body: object = None) -> None:
        timeout = aiohttp.ClientTimeout(total=20)
        url = self.management_url + path
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body) as response,
        ):
            response.raise_for_status()

    def _make(self) -> ChildProcess:
        # Everything of its own, or two nodes on one machine meet.
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text(PLUGINS)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.port = {self.management_port}\nmanagement.tcp.ip = 127.0.0.1\n"
            f"prometheus.tcp.port = {self._prometheus_port}\nprometheus.tcp.ip = 127.0.0.1\n"
            "loopback_users = none\ndisk_free_limit.absolute = 512MB\nlog.console.level = warning\n"
        )
        erlang = (
            f"-noinput -setcookie {self._tag} -start_epmd false"
            " -kernel inet_dist_use_interface {127,0,0,1}"
            " +sbwt none +sbwtdcpu none +sbwtdio none +S 2:2"
            # Figures a second old, not five: people watch them.
            " -rabbit collect_statistics_interval 1000 -rabbit quorum_tick_interval 1000"
        )
        return ChildProcess(
            self.name,
            [self.program],
            log=self.folder / "rabbitmq.log",
            environment={
                **self._environment(),
                # Makes the script exec the node instead of staying in front of it.
                "RABBITMQ_ALLOW_INPUT": "true",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlang,
            },
            detached=self.detached,
        )

    def _environment(self) -> dict[str, str]:
        """Of the node and of the commands that speak to it."""
        return {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"lifeboat-{self._tag}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.data),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _contain(self) -> Container:
        return Container(
            self.name,
            self.source.image,
            note=self._note,
            ports={5672: self.port, 15672: self.management_port},
            kept=self.detached,
        )

    async def _round_trip(self) -> None:
        await self._management("GET", "/api/overview")
        connection = await aio_pika.connect(self.vhost_url("%2F"), timeout=4)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await queue.delete()


class MongoServer(Server):
    """A one-node replica set: transactions, and majority writes that are journaled."""

    name = "mongo"

    def __init__(self, folder: Path, *, image: str = "", detached: bool = False) -> None:
        self.port = kept_port(folder, "mongo")
        super().__init__(folder, mongo_source(image), detached=detached)

    def database_url(self, database: str) -> str:
        """The URL of one database."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?replicaSet=lifeboat"

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
        address = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(
            address, serverSelectionTimeoutMS=1_000
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
