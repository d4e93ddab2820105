"""The ledger in one SQLite file (WAL, synchronous=FULL), shared by the processes of one machine.

Each call is one transaction on the one thread that owns the connection.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from app.clock import now_ms
from app.errors import LedgerMismatch, QueueLimitReached, Unavailable, reason_of
from app.ledger import kept_rows, rows, searching, selects
from app.ledger.growing import grow_tables
from app.ledger.paging import Place
from app.ledger.records import (
    ActionRecord,
    Finish,
    FinishResult,
    LeaseView,
    LedgerRecord,
    Marks,
    OpenWrite,
    Page,
    QuarantineRecord,
    QueueRecord,
    RecordQuery,
    RehydrationRecord,
    Standing,
)
from app.names import TaskKey

T = TypeVar("T")
DAY_MS = 86_400_000
VARIABLES_MAX = 500
LOOK_EVERY_S = 0.01


class SqliteLedger:
    """``app.ledger.ledger.Ledger`` on SQLite."""

    def __init__(self, path: Path, *, env: str, record_days: int, timeout_ms: int) -> None:
        self._path = path
        self._env = env
        self._record_days = record_days
        self._timeout_s = timeout_ms / 1000
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._connection: sqlite3.Connection | None = None
        self._identity = ""

    @property
    def identity(self) -> str:
        """Who this ledger is."""
        return self._identity

    async def open(self) -> None:
        """Make tables, read or create the identity."""

        def work(db: sqlite3.Connection) -> tuple[str, str]:
            db.execute(
                "INSERT INTO facts (name, value) VALUES ('identity', ?) ON CONFLICT DO NOTHING",
                (f"{uuid4().hex}/{self._env}",),
            )
            (value,) = db.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()
            ledger, env = value.split("/")
            return ledger, env

        ledger, env = await self._run(work)
        if env != self._env:
            raise LedgerMismatch(
                f"This ledger belongs to env {env!r}, not to {self._env!r}. Give each"
                " LIFEBOAT_ENV a file of its own."
            )
        self._identity = ledger

    async def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        self._thread.shutdown(wait=False)

    async def ping(self) -> None:
        """Read one page."""
        await self._run(lambda db: db.execute("SELECT 1 FROM facts").fetchone())

    async def finish(self, writes: Sequence[Finish]) -> list[FinishResult]:
        """One transaction."""
        return await self._run(lambda db: [rows.finish(db, write) for write in writes])

    async def record_open(self, writes: Sequence[OpenWrite]) -> list[bool]:
        """One transaction."""
        return await self._run(lambda db: [rows.record_open(db, write) for write in writes])

    async def ask(self, keys: Sequence[TaskKey]) -> dict[TaskKey, Standing]:
        """Selects of 500 ids each."""
        by_id = {key.full: key for key in keys}
        ids = list(by_id)

        def work(db: sqlite3.Connection) -> dict[TaskKey, Standing]:
            found: dict[TaskKey, Standing] = {}
            for start in range(0, len(ids), VARIABLES_MAX):
                part = ids[start : start + VARIABLES_MAX]
                marks = ",".join("?" * len(part))
                for row in db.execute(f"SELECT * FROM records WHERE id IN ({marks})", part):  # noqa: S608 - only marks are put in
                    found[by_id[row["id"]]] = rows.standing(row)
            return found

        return await self._run(work)

    async def get(self, key: TaskKey) -> LedgerRecord | None:
        """One row."""

        def work(db: sqlite3.Connection) -> LedgerRecord | None:
            row = db.execute("SELECT * FROM records WHERE id = ?", (key.full,)).fetchone()
            return rows.record(key, row) if row else None

        return await self._run(work)

    async def search(self, query: RecordQuery, *, include_redriven: bool = False) -> Page:
        """One select along an index, one row further than asked for."""

        def work(db: sqlite3.Connection) -> Page:
            return searching.search_rows(db, query, include_redriven=include_redriven)

        return await self._run(work)

    async def note_redriven(self, keys_runs: Sequence[tuple[TaskKey, int]]) -> None:
        """One transaction."""

        def work(db: sqlite3.Connection) -> None:
            for key, run in keys_runs:
                rows.note_redriven(db, key, run)

        await self._run(work)

    async def finished_ids(self, tenant: str, queue: str) -> dict[str, str]:
        """Every finished task of a queue."""

        def work(db: sqlite3.Connection) -> dict[str, str]:
            found = db.execute(
                "SELECT id, finished_state FROM records"
                " WHERE tenant = ? AND queue = ? AND finished_run > 0",
                (tenant, queue),
            )
            return {row["id"].split("/", 2)[2]: row["finished_state"] for row in found}

        return await self._run(work)

    async def ensure_queue(self, tenant: str, queue: str, limit: int) -> None:
        """Insert unless there."""

        def work(db: sqlite3.Connection) -> None:
            known = [
                r["queue"]
                for r in db.execute("SELECT queue FROM queues WHERE tenant = ?", (tenant,))
            ]
            if queue in known:
                return
            if len(known) >= limit:
                raise QueueLimitReached(f"Tenant {tenant} already has {limit} queues.")
            db.execute(
                "INSERT INTO queues (tenant, queue, paused) VALUES (?, ?, 0)", (tenant, queue)
            )

        await self._run(work)

    async def queues(self) -> list[QueueRecord]:
        """Every queue."""

        def work(db: sqlite3.Connection) -> list[QueueRecord]:
            found = db.execute("SELECT tenant, queue, paused FROM queues ORDER BY tenant, queue")
            return [QueueRecord(r["tenant"], r["queue"], bool(r["paused"])) for r in found]

        return await self._run(work)

    async def set_paused(self, tenant: str, queue: str, *, paused: bool) -> bool:
        """Update if there."""

        def work(db: sqlite3.Connection) -> bool:
            changed = db.execute(
                "UPDATE queues SET paused = ? WHERE tenant = ? AND queue = ?",
                (paused, tenant, queue),
            )
            return changed.rowcount == 1

        return await self._run(work)

    async def parked_counts(self, tenant: str, queue: str) -> Mapping[str, int]:
        """Counted from the index."""

        def work(db: sqlite3.Connection) -> dict[str, int]:
            found = db.execute(selects.PARKED_COUNTS, (tenant, queue))
            return {"dead": 0, "suspended": 0} | {row["state"]: row["n"] for row in found}

        return await self._run(work)

    async def acquire_lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """By this machine's clock: SQLite's users are all on it."""

        def work(db: sqlite3.Connection) -> bool:
            now = now_ms()
            changed = db.execute(
                "INSERT INTO leases (name, owner, until) VALUES (?, ?, ?) ON CONFLICT (name) DO"
                " UPDATE SET owner = excluded.owner, until = excluded.until, wanted_by = NULL"
                " WHERE owner = excluded.owner OR until <= ?",
                (name, owner, now + ttl_ms, now),
            )
            return changed.rowcount == 1

        return await self._run(work)

    async def renew_lease(self, name: str, owner: str, ttl_ms: int) -> LeaseView:
        """By this machine's clock."""

        def work(db: sqlite3.Connection) -> LeaseView:
            found = db.execute(
                "UPDATE leases SET until = ? WHERE name = ? AND owner = ? RETURNING wanted_by",
                (now_ms() + ttl_ms, name, owner),
            ).fetchall()
            return LeaseView(bool(found), found[0]["wanted_by"] if found else None)

        return await self._run(work)

    async def request_lease(self, name: str, by: str) -> None:
        """Leave a wish beside the lease."""
        await self._run(
            lambda db: db.execute("UPDATE leases SET wanted_by = ? WHERE name = ?", (by, name))
        )

    async def release_lease(self, name: str, owner: str) -> None:
        """Delete it if it is still ours."""
        await self._run(
            lambda db: db.execute("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner))
        )

    async def put_rehydration(self, record: RehydrationRecord) -> None:
        """Replace by id."""
        await self._run(lambda db: kept_rows.put_rehydration(db, record))

    async def rehydrations(
        self, limit: int, *, after: Place | None = None
    ) -> list[RehydrationRecord]:
        """Newest first."""
        return await self._run(lambda db: kept_rows.rehydrations(db, limit, after))

    async def replace_rehydration(self, record: RehydrationRecord, *, expected: str) -> bool:
        """Replace by id and state."""
        return await self._run(lambda db: kept_rows.replace_rehydration(db, record, expected))

    async def get_rehydration(self, id: str) -> RehydrationRecord | None:
        """One row."""
        return await self._run(lambda db: kept_rows.get_rehydration(db, id))

    async def put_marks(self, marks: Marks) -> None:
        """Replace by name."""
        await self._run(lambda db: kept_rows.put_marks(db, marks))

    async def get_marks(self, tenant: str, queue: str) -> Marks | None:
        """One row."""
        return await self._run(lambda db: kept_rows.get_marks(db, tenant, queue))

    async def record_action(self, record: ActionRecord) -> None:
        """Replace by id."""
        await self._run(lambda db: kept_rows.record_action(db, record))

    async def actions(self, limit: int) -> list[ActionRecord]:
        """Newest first."""
        return await self._run(lambda db: kept_rows.actions(db, limit))

    async def put_quarantine(self, record: QuarantineRecord) -> None:
        """Insert unless there."""
        await self._run(lambda db: kept_rows.put_quarantine(db, record))

    async def quarantined(
        self, limit: int, *, tenants: Sequence[str] | None = None, after: Place | None = None
    ) -> list[QuarantineRecord]:
        """Newest first."""
        return await self._run(lambda db: kept_rows.quarantined(db, limit, tenants, after))

    async def get_quarantined(self, id: str) -> QuarantineRecord | None:
        """One row."""
        return await self._run(lambda db: kept_rows.get_quarantined(db, id))

    async def resolve_quarantined(self, id: str, resolution: str, by: str, at_ms: int) -> bool:
        """Update unless resolved; then look who was first."""
        return await self._run(
            lambda db: kept_rows.resolve_quarantined(db, id, resolution, by, at_ms)
        )

    async def count_quarantined(self) -> int:
        """Counted from the index."""
        return await self._run(kept_rows.count_quarantined)

    async def resolutions(self, ids: Sequence[str]) -> Mapping[str, str | None]:
        """Row by row."""
        return await self._run(lambda db: kept_rows.resolutions(db, ids))

    async def quarantine_counts(self) -> Mapping[tuple[str, str], int]:
        """One select."""
        return await self._run(kept_rows.quarantine_counts)

    async def expire(self, now_ms: int) -> int:
        """Drop terminal records that have lived their days."""

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "DELETE FROM records WHERE finished_at < ? AND open_run = 0 AND finished_state IN"
                " ('succeeded', 'cancelled', 'expired', 'discarded')",
                (now_ms - self._record_days * DAY_MS,),
            ).rowcount

        return await self._run(work)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._thread, self._transaction, work)
        except (sqlite3.Error, TimeoutError, OSError, RuntimeError) as error:
            raise Unavailable("ledger", reason_of(error)) from error

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connect()
        db.execute("BEGIN IMMEDIATE")
        try:
            answer = work(db)
            db.execute("COMMIT")
        except BaseException:
            # A full disk ends the transaction by itself.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return answer

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db: Any = sqlite3.connect(
                self._path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
            )
            db.row_factory = sqlite3.Row
            try:
                _write_ahead(db, self._timeout_s)
                db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE")
                grow_tables(db)
                db.execute("COMMIT")
                db.executescript((files("app.ledger") / "schema.sql").read_text())
            except BaseException:
                db.close()
                raise
            self._connection = db
        return self._connection


def _write_ahead(db: sqlite3.Connection, within_s: float) -> None:
    # Where others open the file as well SQLite refuses the change at once, whatever its timeout.
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(LOOK_EVERY_S)
        else:
            return
