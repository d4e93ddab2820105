"""Brings a store that an earlier Lifeboat made to the shape of today's records."""

import sqlite3
from contextlib import suppress
from typing import Final

from pymongo.errors import OperationFailure

from app.ledger.bulk import Documents

OUTGROWN: Final = "tenant_1_queue_1_finished.state_1_finished.at_1"
"""An index of MongoDB that no search uses any more; where it is, documents are as old as it."""
COLUMNS: Final = {
    "records": {
        "type": "TEXT NOT NULL DEFAULT ''",
        "channel": "TEXT",
        "user": "TEXT",
        "chat_id": "TEXT",
        "accepted_at": "INTEGER NOT NULL DEFAULT 0",
        "redriven": "INTEGER NOT NULL DEFAULT 0",
    },
    "quarantine": {
        "tenant": "TEXT NOT NULL DEFAULT ''",
        "resolution": "TEXT",
        "resolved_by": "TEXT",
        "resolved_at": "INTEGER",
    },
}
"""What SQLite's tables have got since they were first made."""


async def grow_documents(records: Documents) -> None:
    """Give MongoDB's documents what searches and comparisons rely on; once, in any order."""
    if OUTGROWN not in await records.index_information():
        return
    await records.update_many(
        {"finished": {"$exists": True}, "redriven": None}, {"$set": {"redriven": False}}
    )
    await records.update_many(
        {"open.lost": {"$type": "bool"}}, [{"$set": {"open.lost": {"$toInt": "$open.lost"}}}]
    )
    with suppress(OperationFailure):
        # Another process was first.
        await records.drop_index(OUTGROWN)


def grow_tables(db: sqlite3.Connection) -> None:
    """Add the columns that SQLite's tables lack, inside a transaction; missing tables stay so."""
    for table, columns in COLUMNS.items():
        known = {row["name"] for row in db.execute(f"PRAGMA table_info({table})")}
        for name, kind in columns.items():
            if known and name not in known:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        if known and table == "quarantine" and "tenant" not in known:
            db.execute(
                "UPDATE quarantine SET tenant = json_extract(CAST(document AS TEXT), '$.tenant')"
            )
    db.execute("DROP INDEX IF EXISTS records_by_state")
