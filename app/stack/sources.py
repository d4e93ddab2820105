"""Where each server's program comes from on this machine, and how a missing one is installed.

Order: on PATH, in Debian's usual places, in the mongod wheel; as root on Debian what is missing
is installed.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HINTS = {
    "redis": "Install Redis 7 or newer (Debian: `apt-get install redis-server`).",
    "rabbitmq": "Install RabbitMQ 3.10 or newer (Debian: `apt-get install rabbitmq-server`).",
    "mongo": "Install mongod 6 or newer and put it on PATH; without one the ledger is SQLite.",
}
INSTALL_DEADLINE_S = 600


@dataclass(frozen=True, slots=True)
class Source:
    """A server's program; ``program`` is None where it cannot be had."""

    server: str
    program: Path | None

    def __str__(self) -> str:
        return f"{self.server}: {self.program}" if self.program else HINTS[self.server]


def redis_source() -> Source:
    """``redis-server``."""
    return Source("redis", _on_path("redis-server"))


def rabbitmq_source() -> Source:
    """The real script under a versioned ``sbin``: the packaged wrapper changes the user."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return Source("rabbitmq", found[-1] if found else None)


def mongo_source() -> Source:
    """``mongod`` on PATH, or the one inside the wheel."""
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
    missing = [packages[name] for name in packages if SOURCES[name]().program is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, "libcurl4")
    if mongo_source().program is None:
        lock = Path(__file__).with_name("mongod.lock")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        _run(*pip, "-r", str(lock))
    return [source() for source in SOURCES.values()]


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
