"""Where each server's program comes from on this machine, and how a missing one is installed.

Order: a root that ``LIFEBOAT_STACK_ROOT`` names (Redis and RabbitMQ); an image that a running
Docker engine has or can pull; on PATH, in Debian's usual places, in the mongod wheel. As root on
Debian what is missing is installed.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.stack.container import has_image
from app.stack.roots import chosen_root, program_in

HINTS = {
    "redis": "Install Redis 7 or newer (Debian: `apt-get install redis-server`).",
    "rabbitmq": "Install RabbitMQ 3.10 or newer (Debian: `apt-get install rabbitmq-server`).",
    "mongo": "Install mongod 6 or newer and put it on PATH; without one the ledger is SQLite.",
}
INSTALL_DEADLINE_S = 600


@dataclass(frozen=True, slots=True)
class Images:
    """Names of the servers' images; empty: not from Docker."""

    redis: str = ""
    rabbitmq: str = ""
    mongo: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A server's image or program; both empty where it cannot be had."""

    server: str
    program: Path | None
    image: str = ""

    @property
    def exists(self) -> bool:
        """Whether the server can be had."""
        return bool(self.image) or self.program is not None

    def beside(self, name: str) -> str:
        """The program ``name`` that belongs to this one; the one on PATH where none lies there."""
        own = self.program.with_name(name) if self.program else None
        return str(own) if own is not None and own.exists() else name

    def __str__(self) -> str:
        if self.image:
            return f"{self.server}: Docker image {self.image}"
        return f"{self.server}: {self.program}" if self.program else HINTS[self.server]


def redis_source(image: str = "") -> Source:
    """``redis-server``."""
    if (root := chosen_root()) is not None:
        return Source("redis", program_in(root, "redis-server"))
    return _from_docker("redis", image) or Source("redis", _on_path("redis-server"))


def rabbitmq_source(image: str = "") -> Source:
    """The real script under a versioned ``sbin``: the packaged wrapper changes the user."""
    if (root := chosen_root()) is not None:
        return Source("rabbitmq", program_in(root, "rabbitmq-server"))
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return _from_docker("rabbitmq", image) or Source("rabbitmq", found[-1] if found else None)


def mongo_source(image: str = "") -> Source:
    """``mongod`` on PATH, or the one inside the wheel."""
    if (source := _from_docker("mongo", image)) is not None:
        return source
    program = _on_path("mongod")
    if program is None:
        # Looked up without importing the package: its import has side effects.
        spec = importlib.util.find_spec("fiftyone")
        for place in (spec.submodule_search_locations or []) if spec else []:
            candidate = Path(place) / "db" / "bin" / "mongod"
            if candidate.exists():
                program = candidate
    return Source("mongo", program)


SOURCES: dict[str, Callable[[], Source]] = {
    "redis": redis_source,
    "rabbitmq": rabbitmq_source,
    "mongo": mongo_source,
}


def install() -> list[Source]:
    """Install what is missing and can be installed; what there is then."""
    packages = {"redis": "redis-server", "rabbitmq": "rabbitmq-server"}
    missing = [packages[name] for name in packages if not SOURCES[name]().exists]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, "libcurl4")
    if not mongo_source().exists:
        lock = Path(__file__).with_name("mongod.lock")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        _run(*pip, "-r", str(lock))
    return [source() for source in SOURCES.values()]


def _from_docker(server: str, image: str) -> Source | None:
    return Source(server, None, image) if image and has_image(image) else None


def _on_path(name: str) -> Path | None:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")
    return Path(found) if found else None


def _run(*command: str) -> None:
    print(f"Installing: {' '.join(command)}", file=sys.stderr, flush=True)  # noqa: T201 - progress
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INSTALL_DEADLINE_S,
        check=False,
        text=True,
    )
    if done.returncode:
        print(done.stdout[-2000:], file=sys.stderr)  # noqa: T201 - the reason of a failed set-up
