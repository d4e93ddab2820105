"""A server as a child process that cannot outlive its parent, unless it is meant to."""

import asyncio
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from app.clock import monotonic_ms

PR_SET_PDEATHSIG = 1
STOP_WITHIN_MS = 15_000
PAUSE_WITHIN_MS = 5_000
PAUSE_LOOK_S = 0.002
STOPPED = ("T", "t", "Z", "X")
"""States of a thread in /proc that runs no code."""
TAIL = 800
PORTS = 10_000, 32_000
PORT_TRIES = 200
# Of the machine: a seed that a test sets must not send everybody to the same port.
_CHANCE = random.SystemRandom()
_told: set[int] = set()
"""Ports that this process has told, which may not be listened on yet: never told again."""

# Bound at import: between fork and exec nothing may be looked up or imported.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


class StackError(Exception):
    """A server did not come; the sentence holds the end of its log."""


def free_port() -> int:
    """A loopback port nobody listens on now, and another each time.

    Below those that the kernel gives to outgoing connections: one of them would be in the way of a
    server that starts later, or comes back to its port.

    Raises:
        StackError: none was found.
    """
    for _ in range(PORT_TRIES):
        port = _CHANCE.randint(*PORTS)
        if port not in _told and is_free(port):
            _told.add(port)
            return port
    raise StackError(f"No free port was found between {PORTS[0]} and {PORTS[1]} on 127.0.0.1.")


def is_free(port: int) -> bool:
    """Whether nobody listens on this loopback port now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def kept_port(folder: Path, name: str) -> int:
    """The port that ``folder`` remembers under ``name`` if it is free, else another, remembered.

    A server finds its data again only under the address it had (a replica set names it).
    """
    note = folder / f"{name}.port"
    if note.exists() and is_free(int(note.read_text())):
        return int(note.read_text())
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(str(port))
    return port


def started_at(pid: int) -> str | None:
    """Clock ticks from boot to the start of a process; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields[19]


def die_with_parent() -> None:
    """Between fork and exec: be killed when the parent ends, however it ends (Linux)."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class ChildProcess:
    """One program: start, kill, pause, resume, stop. Output goes to ``log``."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        detached: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = environment
        self._detached = detached
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 while not started."""
        return self._popen.pid if self._popen else 0

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it lives or was never started."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        """Start it; call from the main thread (the death signal follows the thread that forks)."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self._environment) if self._environment is not None else None,
                start_new_session=True,
                preexec_fn=None if self._detached else die_with_parent,  # noqa: PLW1509 - one prctl call
            )

    def kill9(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._popen is not None and self._popen.poll() is None:
            with suppress(ProcessLookupError):
                self._popen.send_signal(signal.SIGCONT)
                self._popen.kill()
            self._popen.wait(STOP_WITHIN_MS / 1000)

    def forget(self) -> None:
        """Nothing to forget: its data lies in a folder (a container has it inside)."""

    def pause(self) -> None:
        """SIGSTOP: it keeps its sockets and answers nothing, from when this returns on.

        Raises:
            StackError: it has not stopped in time.
        """
        os.kill(self.pid, signal.SIGSTOP)
        deadline = monotonic_ms() + PAUSE_WITHIN_MS
        # The signal is only on its way: threads that run on other cores may answer some more.
        while not _all_stopped(self.pid):
            if monotonic_ms() > deadline:
                raise StackError(f"{self.name} did not stop within {PAUSE_WITHIN_MS} ms.")
            time.sleep(PAUSE_LOOK_S)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def stop(self, within_ms: int = STOP_WITHIN_MS) -> int | None:
        """SIGTERM, and SIGKILL when that takes too long; the exit code."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                await until(lambda: not self.running, within_ms, f"{self.name} to stop")
        self.kill9()
        return self.exit_code

    def tail(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "(it wrote no log)"
        return self.log.read_text(errors="replace")[-TAIL:]


def _all_stopped(pid: int) -> bool:
    """Whether every thread of a process has stopped, or is gone."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            # The name before it may hold anything, also parentheses.
            if task.read_text().rpartition(")")[2].split()[0] not in STOPPED:
                return False
    return True


async def together(starts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first that fails ends the others.

    Raises:
        StackError: its sentence.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except* StackError as failed:
        error = failed.exceptions[0]
        raise StackError(str(error)) from error


async def until(condition: Callable[[], bool | Awaitable[bool]], within_ms: int, what: str) -> None:
    """Poll until ``condition`` holds.

    Raises:
        TimeoutError: it did not in time; the text names ``what``.
    """
    deadline = monotonic_ms() + within_ms
    while True:
        answer = condition()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        if monotonic_ms() > deadline:
            raise TimeoutError(f"Waited {within_ms} ms for {what}.")
        await asyncio.sleep(0.03)
