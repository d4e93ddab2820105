"""One append-only spool file: locked by its living owner, fsynced before an append counts.

Everything here blocks; call it in a thread.
"""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from app.worker.spool_format import (
    HEAD,
    Header,
    Scan,
    SpoolDamaged,
    frame,
    header_body,
    header_from,
    scan,
)

SUFFIX: Final = ".spool"
ASIDE: Final = ".damaged"
UNBORN: Final = ".new"


class SpoolFile:
    """An open spool file. ``read_at`` is where the next unread frame begins."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.bytes = 0
        """How much of it counts."""
        self.read_at = 0
        self.records = 0
        self.recorded = 0
        """How many of its records the ledger has."""
        self.sealed = False
        """Nothing may be appended any more."""
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, header: Header) -> Self:
        """A new file with its header; the rename makes it appear locked and whole.

        Raises:
            OSError: the disk does not take it.
        """
        unborn = path.with_suffix(UNBORN)
        descriptor = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        created = cls(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            created.append([header_body(header)])
            unborn.rename(path)
            _sync_folder(path.parent)
        except OSError:
            with suppress(OSError):
                unborn.unlink()
            created.close()
            raise
        created.read_at = created.bytes
        created.records = 0
        return created

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """Take over a file whose owner is dead; None while it lives, or when the file is gone.

        Raises:
            OSError: the disk does not give it.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        adopted = cls(path, descriptor)
        adopted.sealed = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = path.stat().st_ino == os.fstat(descriptor).st_ino
        except (BlockingIOError, FileNotFoundError):
            here = False
        if not here:
            # Its owner lives, or wrote everything and removed it before the lock was ours.
            adopted.close()
            return None
        return adopted

    @property
    def is_over(self) -> bool:
        """Whether the ledger has all of it."""
        return self.recorded >= self.records and self.read_at >= self.bytes

    def look(self) -> tuple[Header | None, Scan]:
        """What an adopted file holds; None: no sound header.

        Raises:
            SpoolTooNew: its header says so.
        """
        found = scan(self._read(0, os.fstat(self._descriptor).st_size))
        if not found.bodies:
            return None, found
        try:
            header = header_from(found.bodies[0])
        except SpoolDamaged:
            return None, found
        self.bytes = found.good_bytes
        self.read_at = HEAD.size + len(found.bodies[0])
        return header, found

    def cut(self, found: Scan) -> int:
        """Cut off what lies behind the last sound frame; how many bytes that were."""
        torn = os.fstat(self._descriptor).st_size - found.good_bytes
        if torn:
            os.ftruncate(self._descriptor, found.good_bytes)
            os.fdatasync(self._descriptor)
        self.bytes = found.good_bytes
        return torn

    def append(self, bodies: Sequence[bytes]) -> None:
        """Append and fsync, all or nothing.

        Raises:
            OSError: nothing of it counts, and nothing more may be appended: after a failed fsync
                the next one may lie.
        """
        data = b"".join(frame(body) for body in bodies)
        try:
            at = self.bytes
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, at)
                view, at = view[written:], at + written
            os.fdatasync(self._descriptor)
        except OSError:
            self.sealed = True
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.bytes)
            raise
        self.bytes = at
        self.records += len(bodies)

    def next_bodies(self, bytes_max: int) -> list[bytes]:
        """The next unread bodies, up to so many bytes but at least one; [] when all are read.

        Raises:
            SpoolDamaged: the disk gives back something else than was written.
        """
        bodies: list[bytes] = []
        room = bytes_max
        while self.read_at < self.bytes and (room > 0 or not bodies):
            head = self._read(self.read_at, HEAD.size)
            length = HEAD.size + (HEAD.unpack(head)[1] if len(head) == HEAD.size else 0)
            found = scan(self._read(self.read_at, min(length, self.bytes - self.read_at)))
            if len(found.bodies) != 1 or found.good_bytes != length:
                raise SpoolDamaged(f"the spool file {self.path} is damaged at {self.read_at}")
            bodies += found.bodies
            self.read_at += length
            room -= length
        return bodies

    def remove(self) -> None:
        """Delete it, for the ledger has all of it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def set_aside(self) -> Path:
        """Keep it under a name that nobody adopts; that name."""
        aside = self.path.with_name(self.path.name + ASIDE)
        self.path.rename(aside)
        _sync_folder(self.path.parent)
        self.close()
        return aside

    def close(self) -> None:
        """Let go of it: who looks next may adopt it."""
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1

    def _read(self, at: int, length: int) -> bytes:
        parts = []
        while length > 0 and (part := os.pread(self._descriptor, length, at)):
            parts.append(part)
            at, length = at + len(part), length - len(part)
        return b"".join(parts)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
