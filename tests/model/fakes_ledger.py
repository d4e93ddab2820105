"""A ledger in memory, linearizable for each task, and its seam.

Real: the two decisions (``finish_verdict``, ``open_verdict``) with everything they call. Modelled:
the store itself, and that a write may be done although its answer is lost, or be done later. What
it holds is never lost.
"""

from app.ledger.records import (
    FinishResult,
    LedgerRecord,
    QueueRecord,
    Standing,
    finish_verdict,
    open_verdict,
)
from tests.support.envelopes import QUEUE, TENANT

IDENTITY = "ledger-1"


class FakeLedger:
    """``promises`` hears of every write that came into force; ``without``: see ``guards``."""

    def __init__(self, promises, without=frozenset()):
        self.without = without
        self.standings = {}
        self.finished = {}
        self.marks = {}
        self.quarantine = {}
        self.promises = promises

    def finish(self, writes):
        return [self._finish(write) for write in writes]

    def _finish(self, write):
        standing = self.standings.get(write.key)
        verdict = finish_verdict(standing, write)
        if verdict is not None:
            return verdict
        done = write.finished
        part = standing.open if standing and standing.open else None
        self.standings[write.key] = Standing(
            request_digest=write.request_digest,
            finished_run=done.run,
            finished_state=str(done.state),
            finished_by=done.by,
            open=part if part and part.run > done.run else None,
        )
        self.finished[write.key] = write
        self.promises.recorded(write)
        return FinishResult(True, done.run, str(done.state))

    def record_open(self, writes):
        return [self._record_open(write) for write in writes]

    def _record_open(self, write):
        standing = self.standings.get(write.key)
        verdict = open_verdict(standing, write)
        if verdict is not None:
            return verdict
        self.promises.opened(write)
        if "open" in self.without:
            return True
        old = standing or Standing(write.request_digest, 0, "", "", None)
        self.standings[write.key] = Standing(
            request_digest=old.request_digest,
            finished_run=old.finished_run,
            finished_state=old.finished_state,
            finished_by=old.finished_by,
            open=write.part,
        )
        return True

    def ask(self, keys):
        return {key: self.standings[key] for key in keys if key in self.standings}

    def get(self, key):
        write, standing = self.finished.get(key), self.standings.get(key)
        if standing is None:
            return None
        return LedgerRecord(
            key=key,
            request_digest=standing.request_digest,
            envelope=write.envelope if write else None,
            finished=write.finished if write else None,
            open=standing.open,
            attempts=(),
            about=write.about if write else None,
        )


class FakeLedgerLink:
    """``Ledger`` as one process has it; ``faults`` says what becomes of each call."""

    def __init__(self, ledger, faults, who):
        self.identity = IDENTITY
        self._ledger = ledger
        self._faults = faults
        self._who = who

    async def _call(self, name, apply):
        return await self._faults.call("ledger", name, apply)

    async def finish(self, writes):
        return await self._call("finish", lambda: self._ledger.finish(writes))

    async def record_open(self, writes):
        return await self._call("record_open", lambda: self._ledger.record_open(writes))

    async def ask(self, keys):
        def apply():
            self._ledger.promises.asked(self._who, keys)
            return self._ledger.ask(keys)

        return await self._call("ask", apply)

    async def get(self, key):
        return await self._call("get", lambda: self._ledger.get(key))

    async def note_redriven(self, keys_runs):
        def apply():
            for key, run in keys_runs:
                self._ledger.promises.redriven(key, run)

        await self._call("note_redriven", apply)

    async def queues(self):
        return [QueueRecord(TENANT, QUEUE, paused=False)]

    async def get_marks(self, tenant, queue):
        return await self._call("get_marks", lambda: self._ledger.marks.get((tenant, queue)))

    async def put_marks(self, marks):
        def apply():
            self._ledger.marks[marks.tenant, marks.queue] = marks

        await self._call("put_marks", apply)

    async def put_quarantine(self, record):
        def apply():
            self._ledger.quarantine.setdefault(record.id, record)
            self._ledger.promises.put_aside(record)

        await self._call("put_quarantine", apply)


class FakeSpool:
    """A worker's spool: what it holds outlives the worker, as the disk does.

    Modelled: files, fsync, adoption of a dead worker's files by ``disk`` being the same object.
    Real: ``Spooling`` above it.
    """

    folder = "the spool"
    full = False

    def __init__(self, disk):
        self._disk = disk
        self._taken = set()

    @property
    def count(self):
        return len(self._disk)

    def holds(self, key):
        return any(write.key == key for write in self._disk)

    async def open(self):
        """Nothing to make."""

    async def adopt(self):
        return 0

    def close(self):
        """Nothing to let go."""

    async def put(self, writes):
        self._disk.extend(writes)
        return len(writes)

    async def take(self, bytes_max):
        fresh = [write for write in self._disk if id(write) not in self._taken]
        self._taken.update(map(id, fresh))
        return [Spooled(write) for write in fresh]

    async def forget(self, records):
        for each in records:
            self._disk[:] = [write for write in self._disk if write is not each.write]


class Spooled:
    """``app.worker.spool.Spooled`` without its file."""

    bytes = 100

    def __init__(self, write):
        self.write = write
        self.written = False
