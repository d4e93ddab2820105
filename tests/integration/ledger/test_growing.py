"""Stores made by an earlier Lifeboat: what lies there is found, counted and written on."""

import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime

import orjson
import pytest
from pymongo import MongoClient

from app.ledger.growing import OUTGROWN
from app.ledger.records import RecordQuery
from tests.integration.ledger.material import AT_MS, DIGEST, finish, key, opening, part
from tests.integration.ledger.test_keeping import quarantined

OLD_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE quarantine (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, document BLOB NOT NULL, body BLOB NOT NULL
);
CREATE TABLE records (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, queue TEXT NOT NULL, request_digest TEXT NOT NULL,
  envelope BLOB,
  finished_run INTEGER NOT NULL DEFAULT 0, finished_state TEXT NOT NULL DEFAULT '',
  finished_at INTEGER NOT NULL DEFAULT 0, finished_by TEXT NOT NULL DEFAULT '',
  finished_attempt INTEGER NOT NULL DEFAULT 0, result BLOB, error TEXT,
  open_run INTEGER NOT NULL DEFAULT 0, open_attempt INTEGER NOT NULL DEFAULT 0,
  open_phase TEXT NOT NULL DEFAULT '', open_due INTEGER NOT NULL DEFAULT 0,
  open_lost INTEGER NOT NULL DEFAULT 0, open_by TEXT NOT NULL DEFAULT '',
  attempts TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
CREATE INDEX records_by_state ON records (tenant, queue, finished_state, finished_at);
"""
SUSPECT = quarantined("q1")
DOCUMENT = {
    name: value
    for name, value in asdict(SUSPECT).items()
    if name not in ("resolution", "resolved_by", "resolved_at_ms")
}


def old_file(path):
    with closing(sqlite3.connect(path)) as db:
        db.executescript(OLD_TABLES)
        db.execute(
            "INSERT INTO records (id, tenant, queue, request_digest, envelope, finished_run,"
            " finished_state, finished_at, finished_by) VALUES (?, ?, ?, ?, ?, 1, 'dead', ?, 'x')",
            (key("dead").full, "acme", "mail", DIGEST, b"{}", AT_MS),
        )
        db.execute(
            "INSERT INTO records (id, tenant, queue, request_digest, open_run, open_attempt,"
            " open_phase, open_lost, open_by) VALUES (?, ?, ?, ?, 1, 1, 'started', 1, 'x')",
            (key("open").full, "acme", "mail", DIGEST),
        )
        document = orjson.dumps(DOCUMENT | {"body": None})
        db.execute(
            "INSERT INTO quarantine VALUES (?, ?, ?, ?)",
            (SUSPECT.id, SUSPECT.at_ms, document, SUSPECT.body),
        )
        db.commit()


def old_database(url):
    never = datetime(9999, 1, 1, tzinfo=UTC)
    common = {"tenant": "acme", "queue": "mail", "requestDigest": DIGEST, "expireAt": never}
    finished = {"run": 1, "state": "dead", "at": AT_MS, "by": "x", "attempt": 1}
    opened = {"run": 1, "attempt": 1, "phase": "started", "due": 0, "lost": True, "by": "x"}
    with closing(MongoClient(url)) as client:
        database = client.get_default_database()
        database.records.create_index(
            [("tenant", 1), ("queue", 1), ("finished.state", 1), ("finished.at", 1)]
        )
        database.records.insert_many(
            [
                common
                | {"_id": key("dead").full, "envelope": b"{}"}
                | {"finished": finished | {"result": None, "error": None}},
                common | {"_id": key("open").full, "open": opened},
            ]
        )
        document = {name: value for name, value in DOCUMENT.items() if name != "id"}
        pairs = [list(pair) for pair in SUSPECT.headers.items()]
        database.quarantine.insert_one(document | {"_id": SUSPECT.id, "headers": pairs})


@pytest.fixture
async def grown(kind, place, make):
    """A store of old, opened by three processes of today."""
    (old_database if kind == "mongo" else old_file)(place)
    ledgers = [make() for _ in range(3)]
    for each in ledgers:
        await each.open()
    return ledgers[0]


async def test_parked_records_of_old_are_listed_and_counted(grown):
    page = await grown.search(RecordQuery("acme", "mail", frozenset({"dead"})))
    assert [record.key for record in page.items] == [key("dead")]
    assert (page.items[0].about, page.items[0].redriven) == (None, False)
    assert await grown.parked_counts("acme", "mail") == {"dead": 1, "suspended": 0}


async def test_open_records_of_old_are_compared_and_set(grown):
    seen = part(by="x", lost=1)
    assert (await grown.ask([key("open")]))[key("open")].open == seen
    later = opening(key("open"), part(n=2), expected=seen)
    assert await grown.record_open([later]) == [True]


async def test_records_of_old_get_their_next_outcome(grown):
    writes = [finish(key("dead"), 2), finish(key("open"))]
    assert all(answer.won for answer in await grown.finish(writes))
    assert (await grown.get(key("dead"))).about == writes[0].about


async def test_the_quarantine_of_old_is_listed_and_resolved(grown):
    assert await grown.quarantined(10, tenants=["acme"]) == [SUSPECT]
    assert await grown.get_quarantined("q1") == SUSPECT
    assert await grown.resolve_quarantined("q1", "discarded", "ada", AT_MS)
    assert await grown.count_quarantined() == 0
    resolved = replace(SUSPECT, resolution="discarded", resolved_by="ada", resolved_at_ms=AT_MS)
    assert await grown.get_quarantined("q1") == resolved


async def test_an_outgrown_index_is_dropped(grown, kind):
    if kind == "mongo":
        assert OUTGROWN not in await grown._records.index_information()
    else:
        names = await grown._run(
            lambda db: [row["name"] for row in db.execute("PRAGMA index_list(records)")]
        )
        assert "records_by_state" not in names
