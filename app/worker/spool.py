"""The spool: outcomes on this machine's disk that the ledger does not have yet.

A folder of append-only files. Each worker appends to its own; those of dead workers are adopted,
told by their lock. A file goes when the ledger has all of it; what is damaged is never deleted.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Final, Self, TypeVar

from app.errors import Fatal
from app.ledger.ledger import Ledger
from app.metrics import Metrics
from app.names import TaskKey
from app.settings import MIB, Settings
from app.worker.spool_adopting import Adopted, Place, take_over
from app.worker.spool_file import SUFFIX, SpoolFile
from app.worker.spool_format import Header, SpoolDamaged, Write, body_of, write_from

log = logging.getLogger(__name__)

T = TypeVar("T")

SEGMENT_BYTES: Final = 16 * MIB
"""A file longer than that is followed by another, so that disk space comes back while it drains."""
APPEND_BYTES: Final = 8 * MIB
"""At most so much is joined in memory for one append and fsync, or one record."""
DISK_WITHIN_S: Final = 10.0


@dataclass(slots=True, eq=False)
class Spooled:
    """A record read back; ``written``: the ledger has it."""

    file: SpoolFile
    write: Write
    bytes: int
    written: bool = False


class Spool:
    """This worker's files and those it adopted, oldest first. Safe to share by tasks."""

    def __init__(
        self,
        folder: Path,
        header: Callable[[], Header],
        *,
        bytes_max: int,
        metrics: Metrics,
        adopt_ledger: bool = False,
    ) -> None:
        """``header``: whose files these are; asked when one is made, for ledgers are opened late.

        ``adopt_ledger``: files for another ledger of this env are ours, too.
        """
        self.folder = folder
        self.full = False
        """The last outcome did not fit."""
        self.count = 0
        """How many outcomes wait for the ledger."""
        self._header = header
        self._bytes_max = bytes_max
        self._metrics = metrics
        self._adopt_ledger = adopt_ledger
        self._files: list[SpoolFile] = []
        self._left: set[Path] = set()
        self._waiting: Counter[str] = Counter()
        self._numbers = count(1)
        self._failing = False
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "spool")

    @classmethod
    def of(cls, settings: Settings, ledger: Ledger, worker: str, metrics: Metrics) -> Self:
        """The spool of a worker of this name."""
        return cls(
            settings.spool_dir,
            lambda: Header(settings.env, ledger.identity, worker),
            bytes_max=settings.spool_max_mb * MIB,
            metrics=metrics,
            adopt_ledger=settings.adopt_ledger,
        )

    def holds(self, key: TaskKey) -> bool:
        """Whether an outcome of this task waits here."""
        return key.full in self._waiting

    async def open(self) -> None:
        """Make the folder; where that fails say so, for outcomes then wait in memory."""

        def probe() -> None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            SpoolFile.create(self._path(), self._header()).remove()

        try:
            await self._call(probe)
        except OSError as error:
            self._say_failing(error)

    async def put(self, writes: Sequence[Write]) -> int:
        """Append and fsync; how many of them, from the front, are safe now.

        The rest is not: there is no room, or the disk fails.
        """
        bodies = [body_of(write) for write in writes]
        kept = 0
        async with self._lock:
            while kept < len(bodies):
                fitting = self._fitting(bodies[kept:])
                if not fitting:
                    break
                try:
                    await self._append(fitting)
                except OSError as error:
                    self._say_failing(error)
                    return kept
                self._failing = False
                self._note(writes[kept : kept + len(fitting)])
                kept += len(fitting)
            if kept < len(bodies) and not self.full:
                self.full = True
                log.error(
                    "The spool at %s is full (%d MB): no more tasks are taken until the ledger is"
                    " back. LIFEBOAT_SPOOL_MAX_MB sets its size.",
                    self.folder,
                    self._bytes_max // MIB,
                )
        return kept

    async def take(self, bytes_max: int) -> list[Spooled]:
        """The next records in order, each once, about so many bytes; [] when there are none.

        Raises:
            Fatal: the disk does not give back what was written.
        """
        async with self._lock:
            for file in self._files:
                if file.read_at < file.bytes:
                    return await self._read(file, bytes_max)
        return []

    async def forget(self, records: Sequence[Spooled]) -> None:
        """The ledger has these; a file of which it has all is deleted."""
        async with self._lock:
            for each in records:
                each.file.recorded += 1
                if (full := each.write.key.full) in self._waiting:
                    self._waiting[full] -= 1
                    self._step(each.write.key, -1)
                    if not self._waiting[full]:
                        del self._waiting[full]
            for file in [file for file in self._files if file.is_over]:
                await self._remove(file)
            if self.full and self._room > 0:
                self.full = False
                log.info("The spool has room again: tasks are taken.")

    async def adopt(self) -> int:
        """Take over the files of dead workers; how many records they hold."""
        async with self._lock:
            known = {file.path for file in self._files} | self._left
            try:
                found = await self._call(lambda: self._take_over(known))
            except OSError as error:
                self._say_failing(error)
                return 0
            for each in found:
                self._note(each.writes)
            self._files[:0] = [each.file for each in found]
            for file in [file for file in self._files if file.is_over]:
                await self._remove(file)
        return sum(len(each.writes) for each in found)

    def close(self) -> None:
        """Let go of all files: what waits in them is the next worker's."""
        for file in self._files:
            file.close()
        self._files.clear()
        self._thread.shutdown(wait=False)

    @property
    def _room(self) -> int:
        return self._bytes_max - sum(file.bytes for file in self._files)

    def _fitting(self, bodies: Sequence[bytes]) -> list[bytes]:
        room, size = self._room, 0

        def fits(body: bytes) -> bool:
            nonlocal size
            first, size = not size, size + len(body)
            return size <= room and (first or size <= APPEND_BYTES)

        return list(takewhile(fits, bodies))

    async def _append(self, bodies: list[bytes]) -> None:
        file = self._files[-1] if self._files else None
        if file is None or file.sealed or file.bytes >= SEGMENT_BYTES:
            path, header = self._path(), self._header()
            file = await self._call(lambda: SpoolFile.create(path, header))
            self._files.append(file)
        try:
            await self._call(lambda: file.append(bodies))
        except OSError:
            # Also when it was only slow: what it does later must not mix with another append.
            file.sealed = True
            if file.is_over:
                await self._remove(file)
            raise

    async def _read(self, file: SpoolFile, bytes_max: int) -> list[Spooled]:
        try:
            bodies = await self._call(lambda: file.next_bodies(bytes_max))
            return [Spooled(file, write_from(body), len(body)) for body in bodies]
        except (OSError, SpoolDamaged) as error:
            raise Fatal(
                f"The spool file {file.path} cannot be read back ({error}). Start the worker again:"
                " it keeps what is damaged aside and writes the rest to the ledger."
            ) from error

    async def _remove(self, file: SpoolFile) -> None:
        self._files.remove(file)
        try:
            await self._call(file.remove)
        except OSError as error:
            file.close()
            self._left.add(file.path)
            log.warning(
                "The spool file %s is in the ledger but cannot be deleted (%s).", file.path, error
            )

    def _take_over(self, known: set[Path]) -> list[Adopted]:
        place = Place(self._header(), self._path, adopt_ledger=self._adopt_ledger)
        paths = (path for path in self.folder.glob(f"*{SUFFIX}") if path not in known)
        found = [take_over(path, place) for path in sorted(paths, key=_age)]
        self._left |= place.left
        for kind, number in place.damage.items():
            self._metrics.spool_damage.labels(kind).inc(number)
        return [each for each in found if each is not None]

    def _note(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self._waiting[write.key.full] += 1
            self._step(write.key, 1)

    def _step(self, key: TaskKey, step: int) -> None:
        self.count += step
        self._metrics.spooled_outcomes.labels(key.tenant, key.queue).inc(step)

    def _path(self) -> Path:
        return self.folder / f"{self._header().worker}-{next(self._numbers)}{SUFFIX}"

    async def _call(self, work: Callable[[], T]) -> T:
        # TimeoutError is an OSError: a disk that does not answer is one that fails.
        async with asyncio.timeout(DISK_WITHIN_S):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _say_failing(self, error: OSError) -> None:
        if not self._failing:
            log.error(
                "The spool at %s cannot be written (%s): while the ledger is away outcomes wait in"
                " memory, and a worker killed then has its tasks run again. LIFEBOAT_SPOOL_DIR must"
                " name a folder this worker may write.",
                self.folder,
                error or "no answer in time",
            )
        self._failing = True


def _age(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, path.name
    except FileNotFoundError:
        return 0, path.name
