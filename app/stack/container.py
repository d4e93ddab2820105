"""A server in a container, with the verbs of a child process.

Containers do not end with the process that made them: each carries its maker's pid and start, and
the next start removes those whose maker is gone. Data lies inside the container; its id is noted in
the server's folder, so that a later start finds it again.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import DockerException, NotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from app.stack.process import started_at

MAKER: Final = "lifeboat.maker"
CALL_WITHIN_S: Final = 120
STOP_WITHIN_S: Final = 15
TAIL_LINES: Final = 12


@cache
def engine() -> docker.DockerClient | None:
    """The running Docker engine, None where there is none. Removes what dead makers left."""
    try:
        client = docker.from_env(timeout=CALL_WITHIN_S)
        client.ping()
    except (DockerException, OSError):
        return None
    for container in client.containers.list(all=True, filters={"label": MAKER}):
        pid, _, started = container.labels[MAKER].partition(":")
        if started and started_at(int(pid)) != started:
            with suppress(DockerException):
                container.remove(force=True, v=True)
    return client


@cache
def has_image(image: str) -> bool:
    """Whether the engine has the image or can pull it."""
    client = engine()
    if client is None:
        return False
    try:
        client.images.get(image)
    except DockerException:
        try:
            client.images.pull(image)
        except (DockerException, OSError):
            return False
    return True


def stop_container(container_id: str) -> None:
    """End one by its id; its data stays."""
    if (client := engine()) is not None:
        with suppress(DockerException):
            client.containers.get(container_id).stop(timeout=STOP_WITHIN_S)


def remove_container(container_id: str) -> None:
    """Remove one by its id, with its data."""
    if (client := engine()) is not None:
        with suppress(DockerException):
            client.containers.get(container_id).remove(force=True, v=True)


class Container:
    """One container: start, kill, pause, resume, stop, as ``ChildProcess`` has them."""

    def __init__(
        self,
        name: str,
        image: str,
        *,
        command: Sequence[str] = (),
        note: Path,
        ports: Mapping[int, int],
        environment: Mapping[str, str] | None = None,
        kept: bool = False,
    ) -> None:
        """``ports``: the container's to ours, on loopback; ``kept``: it may outlive its maker."""
        self.name = name
        self._image = image
        self._command = list(command)
        self._ports = ports
        self._environment = dict(environment or {})
        self._note = note
        maker = f"{os.getpid()}:{started_at(os.getpid())}"
        self._labels = {MAKER: "" if kept else maker}

    @property
    def pid(self) -> int:
        """The server's process id on this machine; 0 while it does not run."""
        return int(self._state().get("Pid", 0))

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._state().get("Status") in ("running", "paused", "restarting")

    def start(self) -> None:
        """Make it, or start it again on the data it had."""
        if (made := self._find()) is not None:
            made.start()
            return
        # Its reaper would need an image of its own; the labels do that work.
        testcontainers_config.ryuk_disabled = True
        container = DockerContainer(self._image).with_envs(**self._environment)
        if self._command:
            container = container.with_command(self._command)
        ports: dict[str, Any] = {
            str(theirs): ("127.0.0.1", ours) for theirs, ours in self._ports.items()
        }
        container.ports = ports
        container.with_kwargs(labels=self._labels).start()
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._note.write_text(container.get_container_id())

    def kill9(self) -> None:
        """SIGKILL, as a power cut would."""
        if (made := self._find()) is not None and self.running:
            with suppress(DockerException):
                made.unpause()
            with suppress(DockerException):
                made.kill()

    def forget(self) -> None:
        """Remove it with its data: the next start makes an empty one."""
        if (made := self._find()) is not None:
            with suppress(DockerException):
                made.remove(force=True, v=True)
        self._note.unlink(missing_ok=True)

    def pause(self) -> None:
        """It keeps its sockets and answers nothing."""
        if (made := self._find()) is not None:
            made.pause()

    def resume(self) -> None:
        """Go on."""
        if (made := self._find()) is not None:
            made.unpause()

    async def stop(self) -> int | None:
        """End it; its data stays."""
        if (made := self._find()) is not None:
            with suppress(DockerException):
                await asyncio.to_thread(made.stop, timeout=STOP_WITHIN_S)
        return None

    def inside(self, program: str) -> list[str]:
        """The command that runs a program in it."""
        return ["docker", "exec", self._note.read_text(), program]

    def tail(self) -> str:
        """The end of its log."""
        made = self._find()
        return made.logs(tail=TAIL_LINES).decode(errors="replace") if made else "(no container)"

    def _find(self) -> Any:
        client = engine()
        if client is None or not self._note.exists():
            return None
        try:
            return client.containers.get(self._note.read_text())
        except NotFound:
            return None

    def _state(self) -> Mapping[str, Any]:
        made = self._find()
        return made.attrs["State"] if made is not None else {}
