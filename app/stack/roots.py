"""Servers of another Debian than the machine's, from a folder: made here, and told to be used.

Such a root holds a newer release's ``usr`` and, in ``programs``, a script for each server. The
script enters a mount namespace of its own in which that ``usr`` lies over the machine's, and
becomes the program: it finds its own loader and libraries, sees every other path where it is, keeps
its process id, and the mount ends with it. Nothing is installed on the machine itself.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.stack.process import StackError

VARIABLE: Final = "LIFEBOAT_STACK_ROOT"
SUITE: Final = "trixie"
NEWER: Final = Path(".lifeboat", SUITE)
"""Where the newer pair of servers is kept, seen from the tree of sources."""
SERVERS: Final = ("redis-server", "rabbitmq-server")
# What the servers' scripts call and no dependency names.
BASE: Final = (
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "libc-bin",
    "mawk",
    "sed",
)
PLAIN: Final = ("redis-server", "redis-cli", "epmd")
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_WITHIN_S: Final = 600

ENTER: Final = """\
#!/bin/sh
# Become PROGRAM of this root: enter PROGRAM [ARGUMENT]...
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P) || exit
[ "$(id -u)" = 0 ] || map=--map-root-user
# The caller's locale may not be in there, and then Redis does not start.
export LC_ALL=C.UTF-8
exec unshare ${map-} --mount --propagation private \\
  sh -c 'mount --bind "$0/usr" /usr && exec "$@"' "$root" "$@"
"""
WRAPPER: Final = """\
#!/bin/sh
exec "$(dirname -- "$0")/enter" {program} "$@"
"""


def chosen_root() -> Path | None:
    """The root that ``LIFEBOAT_STACK_ROOT`` names; None: the machine's own servers are used."""
    named = os.environ.get(VARIABLE, "")
    return Path(named).resolve() if named else None


def program_in(root: Path, name: str) -> Path:
    """The script that becomes the server ``name`` of ``root``.

    Raises:
        StackError: the root has none.
    """
    program = root / "programs" / name
    if not program.exists():
        raise StackError(
            f"{VARIABLE} names {root}, which has no {name}. Make it with `python -m app.stack root"
            f" {root}`, or unset {VARIABLE} to use the servers of this machine."
        )
    return program


def make_root(root: Path, suite: str = SUITE) -> None:
    """Download and unpack the servers of a Debian release, by the mirror this machine uses.

    A root that is there already stays as it is.

    Raises:
        StackError: apt cannot have them, or this machine cannot enter a root.
    """
    if (root / "programs" / SERVERS[-1]).exists():
        return
    for needed in ("apt-get", "dpkg-deb", "unshare"):
        if not shutil.which(needed):
            raise StackError(f"Only a Debian machine can make a root: {needed} is missing here.")
    print(f"Unpacking Debian {suite}'s servers into {root} ...", file=sys.stderr, flush=True)  # noqa: T201 - progress
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as name:
        made = Path(name)
        for package in _download(made / "apt", suite):
            _run("dpkg-deb", "--extract", str(package), str(made / "root"))
        _write_programs(made / "root")
        (made / "root").rename(root)


def _download(folder: Path, suite: str) -> Iterator[Path]:
    """The servers' packages and all they need, by an apt that knows nothing installed."""
    for each in ("state/lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
    options = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _run(*apt, "update")
    wanted = ["--download-only", "--no-install-recommends", *BASE, *SERVERS]
    _run(*apt, "--yes", "install", *wanted)
    return (folder / "cache" / "archives").glob("*.deb")


def _mirror() -> str:
    """The address this machine's apt has its own release from."""
    text = _run("apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(REPO_URI)")
    lines = [line.split() for line in text.splitlines()]
    found = [line[2] for line in lines if line[1:2] == ["main"] and "security" not in line[2]]
    if not found:
        raise StackError("apt names no Debian mirror on this machine (see /etc/apt).")
    return found[0]


def _write_programs(root: Path) -> None:
    programs = root / "programs"
    programs.mkdir()
    (scripts,) = (root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin")
    # The real scripts: Debian's wrappers change the user.
    called = {path.name: "/" / path.relative_to(root) for path in scripts.glob("rabbitmq*")}
    called |= {name: Path("/usr/bin", name) for name in PLAIN}
    _write_program(programs / "enter", ENTER)
    for name, program in called.items():
        _write_program(programs / name, WRAPPER.format(program=program))


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=APT_WITHIN_S,
        check=False,
        text=True,
    )
    if done.returncode:
        raise StackError(f"`{' '.join(command)}` failed: {done.stderr[-800:].strip()}")
    return done.stdout
