"""A TCP proxy in front of a server, to hold, cut and add what it says."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards every connection to ``url``'s server; ``url`` of the proxy is its stand-in."""

    def __init__(self, target_url):
        parts = urlsplit(target_url)
        self._target = parts
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._up.set()
        self._down.set()
        self._clients = set()
        self.opened = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        credentials, at, _ = self._target.netloc.rpartition("@")
        self.url = urlunsplit(self._target._replace(netloc=f"{credentials}{at}127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_error):
        self._server.close()
        self.flow()
        self.cut()
        await self._server.wait_closed()

    def hold_requests(self):
        """From now on nothing reaches the server."""
        self._up.clear()

    def hold_answers(self):
        """From now on nothing comes back from the server."""
        self._down.clear()

    def flow_answers(self):
        """Let what the broker said come through; requests stay as they are."""
        self._down.set()

    def flow(self):
        """Let through what was held."""
        self._up.set()
        self._down.set()

    def cut(self):
        """Reset every connection."""
        for writer in self._clients:
            writer.transport.abort()

    def lead_to(self, url):
        """Stand in for another server from now on; whoever was connected must connect anew."""
        self._target = urlsplit(url)
        self.cut()

    def say(self, frame):
        """Send ``frame`` to every client as if the server had; only between two frames of its."""
        for writer in self._clients:
            writer.write(frame)

    async def _serve(self, reader, writer):
        self.opened += 1
        self._clients.add(writer)
        with suppress(OSError):
            there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
            await asyncio.wait(
                (
                    asyncio.create_task(_pump(reader, back, self._up)),
                    asyncio.create_task(_pump(there, writer, self._down)),
                ),
                return_when=asyncio.FIRST_COMPLETED,
            )
            back.transport.abort()
        self._clients.discard(writer)
        writer.transport.abort()


async def _pump(reader, writer, flowing):
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            await flowing.wait()
            writer.write(data)
            await writer.drain()
