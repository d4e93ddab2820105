"""A RabbitMQ of several nodes on this machine, from its binaries."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from app.stack.membership import Epmd, Membership, kept_tag
from app.stack.process import until
from app.stack.rabbitmq import RabbitMQServer

NODES: Final = 3
JOINED_WITHIN_MS: Final = 60_000
WHOLE_WITHIN_MS: Final = 60_000


class RabbitMQCluster:
    """Three nodes that stop without a majority (``pause_minority``).

    Each is a server of its own: start, kill, pause and stop them one by one.
    """

    def __init__(self, folder: Path, *, detached: bool = False) -> None:
        self.epmd = Epmd(folder, detached=detached)
        tag = kept_tag(folder)
        self.nodes = tuple(
            RabbitMQServer(
                folder / f"node-{number}",
                detached=detached,
                member=Membership(tag, self.epmd, number, NODES),
            )
            for number in range(1, NODES + 1)
        )

    def vhost_url(self, vhost: str) -> str:
        """The AMQP URLs of one vhost, one a node, separated by commas."""
        return ",".join(node.vhost_url(vhost) for node in self.nodes)

    @property
    def management_url(self) -> str:
        """The management URLs, separated by commas."""
        return ",".join(node.management_url for node in self.nodes)

    async def until_joined(self) -> None:
        """Wait until every node knows that all of them run.

        Raises:
            TimeoutError: they do not in time.
        """
        await until(self._is_joined, JOINED_WITHIN_MS, f"{NODES} RabbitMQ nodes to join")

    async def until_whole(self, vhost: str, queue: str) -> None:
        """Wait until every node has an online member of a quorum queue.

        Raises:
            TimeoutError: they do not in time.
        """

        async def is_whole() -> bool:
            found = await self.queue(vhost, queue)
            return found is not None and len(found.get("online") or ()) == NODES

        await until(is_whole, WHOLE_WITHIN_MS, f"{NODES} online members of {queue}")

    async def leader(self, vhost: str, queue: str) -> RabbitMQServer | None:
        """The node that leads a quorum queue; None while nobody knows."""
        found = await self.queue(vhost, queue) or {}
        return next((each for each in self.nodes if each.node_name == found.get("leader")), None)

    async def queue(self, vhost: str, queue: str) -> dict[str, Any] | None:
        """What the first node that answers says of a queue."""
        path = f"/api/queues/{quote(vhost, safe='')}/{quote(queue, safe='')}"
        for node in self.nodes:
            if node.process.running:
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    found: dict[str, Any] = await node.manage("GET", path)
                    return found
        return None

    async def _is_joined(self) -> bool:
        try:
            views = await asyncio.gather(*(node.manage("GET", "/api/nodes") for node in self.nodes))
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        return all(sum(bool(each.get("running")) for each in view) == NODES for view in views)
