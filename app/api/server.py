"""The API as a process: uvicorn inside this loop, beside the loops of the ``TaskQueue``.

It starts whatever is away: submits are answered 503 until Redis comes.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from app.api.application import create_application
from app.api.payloads import PAYLOADS
from app.api.protocol import protocol_of
from app.broker.connection import RedisConnection
from app.crashing import CrashPoints
from app.errors import SettingsError
from app.ledger.opening import ledger_of
from app.lifecycle import run_until_stopped
from app.metrics import Metrics
from app.settings import Settings
from app.task_queue.task_queue import TaskQueue

log = logging.getLogger(__name__)

BACKLOG: Final = 2_048
GRACE_S: Final = 10
KEEP_ALIVE_S: Final = 30


async def serve(settings: Settings, *, listening: Callable[[str], None] | None = None) -> None:
    """Serve the API until SIGTERM or SIGINT; ``listening`` is told ``http://host:port``.

    Raises:
        SettingsError: the address may not be used, or is taken.
        Fatal: going on could destroy work.
    """
    check_host(settings)
    redis, ledger = RedisConnection.from_settings(settings), ledger_of(settings)
    task_queue = TaskQueue(settings, redis, ledger, PAYLOADS, CrashPoints(settings.crash_at))
    server = Server(settings, task_queue, listening)
    try:
        await task_queue.try_open()
        await run_until_stopped(task_queue.run(), server.run())
    finally:
        await task_queue.close()
        await ledger.close()
        await redis.close()


class Server(uvicorn.Server):
    """uvicorn that leaves signals to us, and says once where it listens."""

    def __init__(
        self,
        settings: Settings,
        task_queue: TaskQueue,
        listening: Callable[[str], None] | None,
    ) -> None:
        config = uvicorn.Config(
            create_application(settings, task_queue, Metrics()),
            http=protocol_of(settings.limit_headers),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            backlog=BACKLOG,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._settings = settings
        self._task_queue = task_queue
        self._listening = listening

    async def run(self) -> None:  # type: ignore[override]
        """Accept connections; a cancellation lets requests finish first.

        Raises:
            SettingsError: the address is taken.
        """
        listener = listen(self._settings.http_host, self._settings.http_port)
        serving = asyncio.create_task(self.serve([listener]), name="http")
        try:
            await asyncio.shield(serving)
        finally:
            self._task_queue.release_waiters()
            self.should_exit = True
            await serving

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the process's own loops decide when to stop."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, then say so."""
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log.info("The API accepts requests at %s.", address)
            if self._listening is not None:
                self._listening(address)


def check_host(settings: Settings) -> None:
    """Refuse an address beyond loopback unless told that anybody may come.

    Raises:
        SettingsError: says how to allow it.
    """
    if not settings.allow_anonymous and not _is_loopback(settings.http_host):
        raise SettingsError(
            f"LIFEBOAT_HTTP_HOST={settings.http_host} is reachable from other machines, and the API"
            " has no keys yet. Use 127.0.0.1, or set LIFEBOAT_ALLOW_ANONYMOUS=1."
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        SettingsError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"Cannot listen at {host}:{port} ({error.strerror}): set LIFEBOAT_HTTP_HOST and"
            " LIFEBOAT_HTTP_PORT (0 = any free port)."
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
