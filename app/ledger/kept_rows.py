"""What else the SQLite ledger keeps, as rows: rehydrate runs and operator actions.

Each is a document with its time beside it.
"""

import sqlite3
from dataclasses import asdict

import orjson

from app.ledger.records import ActionRecord, RehydrationRecord


def put_rehydration(db: sqlite3.Connection, record: RehydrationRecord) -> None:
    """Replace by id."""
    db.execute(
        "INSERT OR REPLACE INTO rehydrations (id, at, document) VALUES (?, ?, ?)",
        (record.id, record.started_at_ms, orjson.dumps(asdict(record))),
    )


def rehydrations(db: sqlite3.Connection, limit: int) -> list[RehydrationRecord]:
    """Newest first."""
    found = db.execute("SELECT document FROM rehydrations ORDER BY at DESC LIMIT ?", (limit,))
    return [RehydrationRecord(**orjson.loads(row["document"])) for row in found]


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
