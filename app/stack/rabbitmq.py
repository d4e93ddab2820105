"""A RabbitMQ node: its files and ports, told ready by a real round trip, and what is asked of it.

Alone, or one of a cluster on this machine: then it has its number, the cluster's cookie and epmd.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aio_pika
import aiohttp

from app.stack.command import output_of
from app.stack.container import Container
from app.stack.membership import Epmd, Membership, kept_tag
from app.stack.process import ChildProcess, StackError, free_port, kept_port, until
from app.stack.servers import Server
from app.stack.sources import rabbitmq_source

CONTROL_WITHIN_S: Final = 120
ANSWER_WITHIN_S: Final = 20
VHOST_WITHIN_MS: Final = 60_000
PLUGINS: Final = "[rabbitmq_management, rabbitmq_prometheus].\n"


class RabbitMQServer(Server):
    """One RabbitMQ node with management and Prometheus plugins."""

    name = "rabbitmq"

    def __init__(
        self,
        folder: Path,
        *,
        image: str = "",
        detached: bool = False,
        member: Membership | None = None,
    ) -> None:
        """``member``: its place in a cluster, whose epmd is not this node's to end."""
        self.port = kept_port(folder, "amqp")
        self.management_port = kept_port(folder, "management")
        self._dist_port, self._prometheus_port = free_port(), free_port()
        self._member = member
        if member is None:
            self._tag = kept_tag(folder)
            self.node_name = f"lifeboat-{self._tag}@localhost"
            self.epmd = Epmd(folder, detached=detached)
        else:
            self._tag = member.tag
            self.node_name = member.node_name(member.number)
            self.epmd = member.epmd
            self.name = f"rabbitmq-{member.number}"
        super().__init__(folder, rabbitmq_source(image), detached=detached)

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
        if self._member is None:
            self.epmd.kill9()

    async def create_vhost(self, name: str) -> str:
        """Make a vhost; its AMQP URL.

        Raises:
            StackError: it could not be made in time.
        """
        rights = {"configure": ".*", "write": ".*", "read": ".*"}

        async def is_made() -> bool:
            # Asking again is harmless, and a cluster that has just joined may be slow to answer.
            with suppress(aiohttp.ClientError, TimeoutError):
                await self.manage("PUT", f"/api/vhosts/{name}")
                await self.manage("PUT", f"/api/permissions/{name}/guest", rights)
                return True
            return False

        try:
            await until(is_made, VHOST_WITHIN_MS, f"{self.name} to make the vhost {name}")
        except TimeoutError as error:
            raise StackError(str(error)) from error
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
        await output_of(process, "rabbitmqctl", CONTROL_WITHIN_S)

    async def has_memory_alarm(self) -> bool:
        """Whether a node blocks publishers for want of memory."""
        return any(node.get("mem_alarm") for node in await self.manage("GET", "/api/nodes"))

    async def has_disk_alarm(self) -> bool:
        """Whether a node blocks publishers for want of free space."""
        return any(node.get("disk_free_alarm") for node in await self.manage("GET", "/api/nodes"))

    async def delete_vhost(self, name: str) -> None:
        """Remove a vhost and all that is in it."""
        await self.manage("DELETE", f"/api/vhosts/{name}")

    async def manage(self, method: str, path: str, body: object = None) -> Any:
        """Ask the management API; what it answers, None for nothing.

        Raises:
            aiohttp.ClientError, TimeoutError: it did not answer, or refused.
        """
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        url = self.management_url + path
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body) as response,
        ):
            response.raise_for_status()
            return await response.json() if await response.read() else None

    def _make(self) -> ChildProcess:
        # Everything of its own, or two nodes on one machine meet.
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text(PLUGINS)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.port = {self.management_port}\nmanagement.tcp.ip = 127.0.0.1\n"
            f"prometheus.tcp.port = {self._prometheus_port}\nprometheus.tcp.ip = 127.0.0.1\n"
            "loopback_users = none\ndisk_free_limit.absolute = 512MB\nlog.console.level = warning\n"
            # Figures are as old as the finest samples that are kept of them: a second, not five.
            "management.sample_retention_policies.global.minute = 1\n"
            "management.sample_retention_policies.basic.minute = 1\n"
            "management.sample_retention_policies.detailed.10 = 5\n"
            + (self._member.configuration if self._member else "")
        )
        erlang = (
            f"-noinput -setcookie {self._tag} -start_epmd false"
            " -kernel inet_dist_use_interface {127,0,0,1}"
            f" +sbwt none +sbwtdcpu none +sbwtdio none +S {'1:1' if self._member else '2:2'}"
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
            "RABBITMQ_NODENAME": self.node_name,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.data),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "ERL_EPMD_PORT": str(self.epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Else it lies wherever the command was called.
            "ERL_CRASH_DUMP": str(self.folder / "erl_crash.dump"),
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
        await self.manage("GET", "/api/overview")
        connection = await aio_pika.connect(self.vhost_url("%2F"), timeout=4)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await queue.delete()
