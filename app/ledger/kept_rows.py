"""What else the SQLite ledger keeps, as rows: rehydrate runs, marks, actions, the quarantine.

Each is a document with what it is found by beside it.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from app.ledger.documents import marks, marks_document
from app.ledger.paging import Place
from app.ledger.records import ActionRecord, Marks, QuarantineRecord, RehydrationRecord

DOCUMENTED = ("id", "reason", "queue", "tenant", "task_id", "headers", "at_ms")
"""Members of a quarantined copy that have no column of their own."""


def put_rehydration(db: sqlite3.Connection, record: RehydrationRecord) -> None:
    """Replace by id."""
    db.execute(
        "INSERT OR REPLACE INTO rehydrations (id, at, document) VALUES (?, ?, ?)",
        (record.id, record.started_at_ms, orjson.dumps(asdict(record))),
    )


def rehydrations(
    db: sqlite3.Connection, limit: int, after: Place | None
) -> list[RehydrationRecord]:
    """Newest first."""
    beyond = "WHERE (at, id) < (?, ?)" if after else ""
    found = db.execute(
        f"SELECT document FROM rehydrations {beyond} ORDER BY at DESC, id DESC LIMIT ?",  # noqa: S608 - terms of ours alone
        (*(after or ()), limit),
    )
    return [RehydrationRecord(**orjson.loads(row["document"])) for row in found]


def replace_rehydration(db: sqlite3.Connection, record: RehydrationRecord, expected: str) -> bool:
    """Replace by id and state."""
    changed = db.execute(
        "UPDATE rehydrations SET at = ?, document = ? WHERE id = ?"
        " AND json_extract(CAST(document AS TEXT), '$.state') = ?",
        (record.started_at_ms, orjson.dumps(asdict(record)), record.id, expected),
    )
    return changed.rowcount == 1


def get_rehydration(db: sqlite3.Connection, id: str) -> RehydrationRecord | None:
    """One of them."""
    row = db.execute("SELECT document FROM rehydrations WHERE id = ?", (id,)).fetchone()
    return RehydrationRecord(**orjson.loads(row["document"])) if row else None


def put_marks(db: sqlite3.Connection, found: Marks) -> None:
    """Replace by name."""
    db.execute(
        "INSERT OR REPLACE INTO marks (tenant, queue, document) VALUES (?, ?, ?)",
        (found.tenant, found.queue, orjson.dumps(marks_document(found))),
    )


def get_marks(db: sqlite3.Connection, tenant: str, queue: str) -> Marks | None:
    """One of them."""
    row = db.execute(
        "SELECT document FROM marks WHERE tenant = ? AND queue = ?", (tenant, queue)
    ).fetchone()
    return marks(orjson.loads(row["document"])) if row else None


def record_action(db: sqlite3.Connection, record: ActionRecord) -> None:
    """Replace by id."""
    db.execute(
        "INSERT OR REPLACE INTO actions (id, at, document) VALUES (?, ?, ?)",
        (record.id, record.at_ms, orjson.dumps(asdict(record))),
    )


def actions(db: sqlite3.Connection, limit: int) -> list[ActionRecord]:
    """Newest first."""
    found = db.execute("SELECT document FROM actions ORDER BY at DESC, id DESC LIMIT ?", (limit,))
    return [ActionRecord(**orjson.loads(row["document"])) for row in found]


def put_quarantine(db: sqlite3.Connection, record: QuarantineRecord) -> None:
    """Insert unless there."""
    document = {name: value for name, value in asdict(record).items() if name in DOCUMENTED}
    db.execute(
        "INSERT INTO quarantine (id, tenant, at, document, body) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (record.id, record.tenant, record.at_ms, orjson.dumps(document), record.body),
    )


def quarantined(
    db: sqlite3.Connection, limit: int, tenants: Sequence[str] | None, after: Place | None
) -> list[QuarantineRecord]:
    """Unresolved ones, newest first."""
    terms, values = ["resolution IS NULL"], list[Any]()
    if tenants is not None:
        terms.append("tenant IN (SELECT value FROM json_each(?))")
        values.append(orjson.dumps(list(tenants)).decode())
    if after is not None:
        terms.append("(at, id) < (?, ?)")
        values += after
    found = db.execute(
        f"SELECT * FROM quarantine WHERE {' AND '.join(terms)}"  # noqa: S608 - terms of ours alone
        " ORDER BY at DESC, id DESC LIMIT ?",
        (*values, limit),
    )
    return [_quarantine_record(row) for row in found]


def get_quarantined(db: sqlite3.Connection, id: str) -> QuarantineRecord | None:
    """One of them."""
    row = db.execute("SELECT * FROM quarantine WHERE id = ?", (id,)).fetchone()
    return _quarantine_record(row) if row else None


def resolve_quarantined(
    db: sqlite3.Connection, id: str, resolution: str, by: str, at_ms: int
) -> bool:
    """Resolve it unless somebody has; whether this resolution is in force."""
    db.execute(
        "UPDATE quarantine SET resolution = ?, resolved_by = ?, resolved_at = ?"
        " WHERE id = ? AND resolution IS NULL",
        (resolution, by, at_ms, id),
    )
    row = db.execute("SELECT resolution FROM quarantine WHERE id = ?", (id,)).fetchone()
    return row is not None and row["resolution"] == resolution


def count_quarantined(db: sqlite3.Connection) -> int:
    """Unresolved ones."""
    (count,) = db.execute("SELECT count(*) FROM quarantine WHERE resolution IS NULL").fetchone()
    return int(count)


def resolutions(db: sqlite3.Connection, ids: Sequence[str]) -> Mapping[str, str | None]:
    """Those of the ids that there are."""
    found: dict[str, str | None] = {}
    for each in ids:
        row = db.execute("SELECT resolution FROM quarantine WHERE id = ?", (each,)).fetchone()
        if row is not None:
            found[each] = row["resolution"]
    return found


def quarantine_counts(db: sqlite3.Connection) -> Mapping[tuple[str, str], int]:
    """Unresolved ones by tenant and queue."""
    found = db.execute(
        "SELECT tenant, json_extract(CAST(document AS TEXT), '$.queue') AS queue, count(*) AS n"
        " FROM quarantine WHERE resolution IS NULL GROUP BY 1, 2"
    )
    return {(row["tenant"], row["queue"]): row["n"] for row in found}


def _quarantine_record(row: sqlite3.Row) -> QuarantineRecord:
    members = {
        "body": row["body"],
        "resolution": row["resolution"],
        "resolved_by": row["resolved_by"],
        "resolved_at_ms": row["resolved_at"],
    }
    # Older documents hold a body of null as well.
    return QuarantineRecord(**{**orjson.loads(row["document"]), **members})
