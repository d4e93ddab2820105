"""Lifeboat's own processes on top of the servers: API, worker, mirror and rehydrator."""

import asyncio
import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from app.health import PROCESS_HEADER
from app.settings import Settings
from app.stack.process import ChildProcess, StackError, free_port, is_free, together, until

READY_WITHIN_MS: Final = 60_000
PROBE_WITHIN_S: Final = 3.0
HOST: Final = "127.0.0.1"
COMMANDS: Final = {
    "api": ("serve", "LIFEBOAT_HTTP_PORT"),
    "worker": ("worker", "LIFEBOAT_WORKER_PORT"),
    "mirror": ("mirror", "LIFEBOAT_MIRROR_PORT"),
    "rehydrator": ("rehydrator", "LIFEBOAT_REHYDRATOR_PORT"),
}
"""By name: the command of ``lifeboat``, and the variable of the port it answers on."""
USUAL_PORTS: Final[Mapping[str, int]] = {
    name: Settings.model_fields[variable.removeprefix("LIFEBOAT_").lower()].default
    for name, (_, variable) in COMMANDS.items()
}
"""Where people, and their Prometheus, look first."""


def names_of(workers: int) -> list[str]:
    """Of all processes of a system with so many workers."""
    return [
        *("api", "mirror", "rehydrator", "worker"),
        *(f"worker-{n}" for n in range(2, workers + 1)),
    ]


class Service:
    """One Lifeboat process with a port on which it says whether it is ready."""

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: Mapping[str, str],
        *,
        wished_port: int | None = None,
        detached: bool = False,
    ) -> None:
        """``wished_port`` is taken if it is free."""
        command, self._port_variable = COMMANDS[name.split("-", maxsplit=1)[0]]
        self.name = name
        self._command = [sys.executable, "-m", "app.cli", command]
        self._folder = folder
        self._environment = environment
        self._rehearsed: Mapping[str, str] = {}
        self._detached = detached
        self.use_port(self._first_port(wished_port))

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; 0 while not started."""
        return self.process.pid

    def use_port(self, port: int) -> None:
        """Be a process on this port from the next start on."""
        self.port = port
        self.process = ChildProcess(
            self.name,
            self._command,
            log=self._folder / f"{self.name}.log",
            environment={
                **os.environ,
                **self._environment,
                **self._rehearsed,
                self._port_variable: str(port),
            },
            detached=self._detached,
        )

    def use_environment(self, rehearsed: Mapping[str, str]) -> None:
        """Have the next start see these variables too, until it is told others; it must be dead."""
        self._rehearsed = rehearsed
        self.use_port(self.port)

    async def start(self) -> None:
        """Start and wait until it is ready.

        Raises:
            StackError: it is not; with the end of its log.
        """
        if not is_free(self.port) and not self._named_port():
            # Taken since we looked: its readiness would be another's.
            self.use_port(free_port())
        try:
            await self._start()
        except StackError:
            if is_free(self.port) or self._named_port():
                raise
            # Somebody took the port between our look and its start.
            self.use_port(free_port())
            await self._start()

    async def _start(self) -> None:
        self.process.start()
        try:
            await until(self.is_ready, READY_WITHIN_MS, f"{self.name} to be ready")
        except TimeoutError as error:
            raise StackError(f"{error} Its log ends: {self.process.tail()}") from error

    async def is_ready(self) -> bool:
        """Whether ``/readyz`` says so now.

        Raises:
            StackError: the process has ended.
        """
        if not self.process.running:
            raise StackError(f"{self.name} ended at once. Its log ends: {self.process.tail()}")
        timeout = aiohttp.ClientTimeout(total=PROBE_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.url}/readyz") as response,
            ):
                if response.headers.get(PROCESS_HEADER) != str(self.pid):
                    # Somebody else took the port first; ours is about to end over it.
                    return False
                words = await response.json(content_type=None)
                return response.status == HTTPStatus.OK and words["status"] == "ok"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError):
            return False

    def _named_port(self) -> str:
        return os.environ.get(self._port_variable, "")

    def _first_port(self, wished_port: int | None) -> int:
        if self._named_port() not in ("", "0"):
            return int(self._named_port())
        if wished_port is not None and is_free(wished_port):
            return wished_port
        return free_port()


class System:
    """All of Lifeboat's processes, ended together."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        workers: int = 1,
        usual_ports: bool = False,
        detached: bool = False,
        own: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """``environment``: the ``LIFEBOAT_*`` variables they get beside this process's own.

        ``own``: by a process's name, those that it alone gets in their place.
        ``usual_ports``: be where people look, if nobody else is; else they are anywhere, so that
        systems that run side by side never take each other's place.
        """
        self.services = {
            name: Service(
                name,
                folder,
                {**environment, **(own or {}).get(name, {})},
                wished_port=USUAL_PORTS.get(name) if usual_ports else None,
                detached=detached,
            )
            for name in names_of(workers)
        }

    @property
    def api(self) -> Service:
        """The one people and producers talk to."""
        return self.services["api"]

    async def start(self) -> None:
        """All at once; none stays when one does not come."""
        try:
            await together(service.start() for service in self.services.values())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Producers' door first, then the rest."""
        await self.api.process.stop()
        others = [each.process for name, each in self.services.items() if name != "api"]
        await asyncio.gather(*(process.stop() for process in others))
