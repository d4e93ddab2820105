"""The network between processes and servers, to be broken: one proxy for each of its lines.

``python -m app.stack.network`` serves the proxies in a process of its own, so that they keep time
whatever their owner does, and takes orders over HTTP: ``POST /<line>/<verb>[/<ms>]``.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from socket import socket
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson
from aiohttp import web

from app.stack.process import ChildProcess, StackError, free_port, until
from app.stack.proxy import HOST, Proxy, hold_port

READY_WITHIN_MS: Final = 20_000
OBEYED_WITHIN_S: Final = 5.0
VERBS: Final = (
    "hold_requests",
    "hold_answers",
    "hold",
    "flow",
    "cut",
    "refuse",
    "lose",
    "end_answers",
    "end_requests",
)
DELAY: Final = "delay"


class Network:
    """Lines from clients to servers; those who make it give each client its own addresses."""

    def __init__(self, folder: Path, *, detached: bool = False) -> None:
        self.lines: dict[str, tuple[int, int]] = {}
        """Name -> the port it is entered by, the port it leads to."""
        self._held: list[socket] = []
        self._control = free_port()
        self._folder = folder
        self._detached = detached
        self.process: ChildProcess | None = None

    def line(self, client: str, server: str, url: str) -> str:
        """A new line to ``url``'s server, named ``client>server``; what the client is to use."""
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise StackError(f"{server} has no host and port that a line could lead to.")
        port = free_port()
        # Some time goes by until it is listened on, and others look for ports, too.
        self._held.append(hold_port(port))
        self.lines[f"{client}>{server}"] = port, parts.port
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}{HOST}:{port}"))

    async def start(self) -> None:
        """Open every line.

        Raises:
            StackError: they did not open in time.
        """
        lines = orjson.dumps(self.lines).decode()
        command = [sys.executable, "-m", "app.stack.network", str(self._control), lines]
        log = self._folder / "network.log"
        self.process = ChildProcess(
            "network", command, log=log, environment=os.environ, detached=self._detached
        )
        self.process.start()
        try:
            await until(self._answers, READY_WITHIN_MS, "the network to open")
        except TimeoutError as error:
            raise StackError(f"{error} Its log ends: {self.process.tail()}") from error

    def end(self) -> None:
        """Close every line, however it is."""
        if self.process is not None:
            self.process.kill9()
        for held in self._held:
            held.close()

    async def do(self, line: str, verb: str, ms: int = 0) -> None:
        """Have one of ``VERBS`` or ``DELAY`` done to a line.

        Raises:
            StackError: it was not.
        """
        path = f"/{line}/{verb}/{ms}" if verb == DELAY else f"/{line}/{verb}"
        if not await self._ask("POST", path):
            raise StackError(f"The network did not obey {verb} of {line}.")

    async def heal(self) -> None:
        """Let everything through on every line."""
        for line in self.lines:
            await self.do(line, "flow")

    async def _answers(self) -> bool:
        return await self._ask("GET", "/")

    async def _ask(self, method: str, path: str) -> bool:
        timeout = aiohttp.ClientTimeout(total=OBEYED_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, f"http://{HOST}:{self._control}{path}") as response,
            ):
                return response.ok
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


async def serve(control: int, lines: Mapping[str, tuple[int, int]]) -> None:
    """Until killed."""
    proxies = {name: await Proxy(HOST, target).open(port) for name, (port, target) in lines.items()}

    async def obey(request: web.Request) -> web.Response:
        proxy, verb = proxies.get(request.match_info["line"]), request.match_info["verb"]
        if proxy is None or verb not in VERBS:
            raise web.HTTPNotFound
        getattr(proxy, verb)()
        return web.Response()

    async def delay(request: web.Request) -> web.Response:
        proxy = proxies.get(request.match_info["line"])
        if proxy is None:
            raise web.HTTPNotFound
        proxy.delay(int(request.match_info["ms"]))
        return web.Response()

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text=str(len(proxies)))

    application = web.Application()
    application.router.add_get("/", ready)
    application.router.add_post("/{line}/delay/{ms:[0-9]+}", delay)
    application.router.add_post("/{line}/{verb}", obey)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, control).start()
    await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m app.stack.network")
    parser.add_argument("control", type=int, help="the port that orders come to")
    parser.add_argument("lines", help="JSON: name -> [port, port it leads to]")
    arguments = parser.parse_args()
    lines: dict[str, Any] = orjson.loads(arguments.lines)
    asyncio.run(serve(arguments.control, {name: (a, b) for name, (a, b) in lines.items()}))


if __name__ == "__main__":
    main()
