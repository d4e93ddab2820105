"""The topology as the mirror keeps it: declared at start, declared again when it is found gone."""

import asyncio
import logging

from aio_pika.abc import AbstractConnection

from app.amqp.connection import close_connection, open_connection
from app.amqp.declare import declare, declare_queue
from app.amqp.management import Management
from app.amqp.topology import QUARANTINE, mirror_queue
from app.errors import Unavailable

log = logging.getLogger(__name__)


class Topology:
    """Declares what the mirror publishes into, one call at a time on a connection of its own."""

    def __init__(
        self, url: str, env: str, management: Management | None, *, process: str = "mirror"
    ) -> None:
        """``management``: reads back what was declared; None: the broker's comparison must do.

        ``process`` names the connection.
        """
        self._url = url
        self._env = env
        self._management = management
        self._process = process
        self._connection: AbstractConnection | None = None
        self._lock = asyncio.Lock()
        self._verified: set[str] = set()

    async def declare(self, queue: str | None = None) -> None:
        """Make the vhost ours and, if named, the mirror queue of ``queue`` exist and be bound.

        Raises:
            EnvMismatch, TopologyMismatch: the process must stop.
            Unavailable: the broker is away.
        """
        async with self._lock:
            try:
                connection = await self._open()
                await declare(connection, self._env, self._management)
                if queue is not None:
                    await declare_queue(connection, queue, self._management)
            except Unavailable:
                await self._close()
                raise
            await self._verify(QUARANTINE)
            if queue is not None:
                await self._verify(mirror_queue(queue))

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._close()

    async def _open(self) -> AbstractConnection:
        if self._connection is None or self._connection.is_closed:
            self._connection = await open_connection(self._url, f"{self._process}-topology")
        return self._connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_connection(connection)

    async def _verify(self, name: str) -> None:
        """Read a queue back once: only that sees an argument the broker took without knowing it."""
        if self._management is None or name in self._verified:
            return
        try:
            await self._management.verify_queue(name)
        except Unavailable as error:
            log.warning("%s could not be read back: %s.", name, error.detail)
        else:
            self._verified.add(name)
