"""What ``up`` left running in a folder: written down, found again, ended."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson

from app.stack.container import remove_container, stop_container
from app.stack.ownership import NOTE, parts_of, remove
from app.stack.process import started_at, until
from app.stack.stack import Stack
from app.stack.system import System

END_WITHIN_MS: Final = 25_000


@dataclass(frozen=True, slots=True)
class Program:
    """A process and when it started: a pid alone may be somebody else's by now."""

    name: str
    pid: int
    started: str
    container: str = ""
    """Id of the container it lives in, if it does."""


@dataclass(frozen=True, slots=True)
class Running:
    """A system that runs; ``helpers`` are programs people need not know."""

    folder: Path
    api: str
    urls: dict[str, str | None]
    processes: list[Program]
    servers: list[Program]
    helpers: list[Program]

    @classmethod
    def of(cls, folder: Path, stack: Stack, system: System) -> Self:
        """What runs now."""
        named = {**{k: v for k, v in os.environ.items() if v}, **stack.environment()}
        return cls(
            folder=folder,
            api=system.api.url,
            urls={
                "redisUrl": named.get("LIFEBOAT_REDIS_URL"),
                "rabbitmqUrl": named.get("LIFEBOAT_RABBITMQ_URL"),
                "rabbitmqManagementUrl": named.get("LIFEBOAT_RABBITMQ_MANAGEMENT_URL"),
                "mongoUrl": named.get("LIFEBOAT_MONGO_URL"),
            },
            processes=[_program(n, s.pid) for n, s in system.services.items()],
            servers=[_program(s.name, s.pid, s.container_id) for s in stack.servers],
            helpers=[_program("epmd", pid)] if (pid := stack.rabbitmq.epmd.pid) else [],
        )

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "api": self.api,
            **self.urls,
            "processes": {each.name: each.pid for each in self.processes},
            "servers": {each.name: each.pid for each in self.servers},
            "dir": str(self.folder),
        }

    def save(self) -> None:
        """Write it down in its folder."""
        document = {**asdict(self), "folder": str(self.folder)}
        (self.folder / NOTE).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    def forget(self) -> None:
        """It has ended."""
        (self.folder / NOTE).unlink(missing_ok=True)


def _load(folder: Path) -> Running | None:
    note = folder / NOTE
    if not note.exists():
        return None
    document = orjson.loads(note.read_bytes())
    for group in ("processes", "servers", "helpers"):
        document[group] = [Program(**each) for each in document[group]]
    return Running(**{**document, "folder": folder})


def living(folder: Path) -> list[str]:
    """Names of what still runs of the system in ``folder``."""
    running = _load(folder)
    if running is None:
        return []
    return [p.name for p in (*running.processes, *running.servers) if _lives(p)]


async def end(folder: Path) -> list[str]:
    """End the system in ``folder``, processes before servers; the names of what was ended."""
    running = _load(folder)
    ended: list[str] = []
    if running is not None:
        for group in (running.processes, running.servers, running.helpers):
            alive = [program for program in group if _lives(program)]
            await asyncio.gather(*(_end(program) for program in alive))
            ended += [program.name for program in alive]
        running.forget()
    return ended


def wipe(folder: Path) -> list[str]:
    """Remove what the system in ``folder`` made; the names of what stays there.

    Raises:
        NotOursError: no system has taken that folder.
        StackError: something cannot be removed.
    """
    for part in parts_of(folder):
        note = part / "container"
        if note.is_file():
            remove_container(note.read_text())
    return remove(folder)


async def _end(program: Program) -> None:
    if program.container:
        await asyncio.to_thread(stop_container, program.container)
        return
    with suppress(ProcessLookupError):
        os.kill(program.pid, signal.SIGCONT)
        os.kill(program.pid, signal.SIGTERM)
    try:
        await until(lambda: not _lives(program), END_WITHIN_MS, f"{program.name} to end")
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.kill(program.pid, signal.SIGKILL)


def _program(name: str, pid: int, container: str = "") -> Program:
    return Program(name, pid, started_at(pid) or "", container)


def _lives(program: Program) -> bool:
    return bool(program.started) and started_at(program.pid) == program.started
