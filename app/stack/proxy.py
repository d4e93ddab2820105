"""A TCP proxy in front of a server: it holds, delays, cuts and half-closes what goes through it."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

HOST: Final = "127.0.0.1"
CHUNK: Final = 1 << 16
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: what is closed is reset."""


@dataclass(slots=True, eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None


class Proxy:
    """Forwards every connection to one server.

    ``requests`` are what goes to the server, ``answers`` what comes from it. Held bytes are not
    lost: TCP would send them again. They are lost when the connection is cut.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._connections: set[_Connection] = set()
        self._refusing = False
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self.opened = 0
        self.port = 0
        self.flow()

    async def open(self, port: int = 0) -> Self:
        """Listen on a loopback port, any if 0; one that is given may be held by ``hold_port``."""
        self._server = await asyncio.start_server(
            self._serve, HOST, port, reuse_port=True if port else None
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Listen no more and reset every connection."""
        if self._server is not None:
            self._server.close()
            self.flow()
            self.cut()
            await self._server.wait_closed()

    def hold_requests(self) -> None:
        """From now on nothing reaches the server, not even that a client has gone."""
        self._up.clear()

    def hold_answers(self) -> None:
        """From now on nothing comes back from the server."""
        self._down.clear()

    def hold(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self.hold_requests()
        self.hold_answers()

    def flow_answers(self) -> None:
        """Let what the server said come through; requests stay as they are."""
        self._down.set()

    def flow(self) -> None:
        """Let everything through at once, also what was held."""
        self._refusing, self._delay_s = False, 0.0
        self._up.set()
        self._down.set()

    def cut(self) -> None:
        """Reset every connection; new ones are served."""
        for each in list(self._connections):
            _reset(each.client)
            if each.server is not None:
                _reset(each.server)

    def refuse(self) -> None:
        """Reset every connection, and each new one."""
        self._refusing = True
        self.cut()

    def lose(self) -> None:
        """Lose for ever what was held: reset every connection, then serve new ones."""
        self.cut()
        self.flow()

    def delay(self, ms: float) -> None:
        """Have whatever passes, either way, take so long."""
        self._delay_s = ms / 1000

    def end_answers(self) -> None:
        """Tell each client that the server has said its last; what it sends still arrives."""
        self._half_close(lambda each: each.client)

    def end_requests(self) -> None:
        """Tell the server that each client has said its last; what it answers still arrives."""
        self._half_close(lambda each: each.server)

    def lead_to(self, host: str, port: int) -> None:
        """Stand in for another server from now on; whoever was connected must connect anew."""
        self._target = host, port
        self.cut()

    def say(self, data: bytes) -> None:
        """Send ``data`` to every client as if the server had; only between two frames of its."""
        for each in self._connections:
            each.client.write(data)

    def _half_close(self, side: Callable[[_Connection], asyncio.StreamWriter | None]) -> None:
        for each in list(self._connections):
            if (writer := side(each)) is not None and writer.can_write_eof():
                with suppress(OSError):
                    writer.write_eof()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if self._refusing:
            _reset(writer)
            return
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            await self._join(connection, reader)
        finally:
            self._connections.discard(connection)
            writer.transport.abort()
            if connection.server is not None:
                connection.server.transport.abort()

    async def _join(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        try:
            there, connection.server = await asyncio.open_connection(*self._target)
        except OSError:
            # Nobody listens there: a client of the server itself would have been refused.
            _reset(connection.client)
            return
        ways = (
            asyncio.create_task(self._pump(reader, connection.server, self._up)),
            asyncio.create_task(self._pump(there, connection.client, self._down)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while True:
                data = await reader.read(CHUNK)
                await flowing.wait()
                if not data:
                    return
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                # Half-closed: nobody hears it any more.
                with suppress(RuntimeError):
                    writer.write(data)
                await writer.drain()


def hold_port(port: int) -> socket.socket:
    """Keep a port from all but a proxy of this user's; until the socket is closed."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((HOST, port))
    return held


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
