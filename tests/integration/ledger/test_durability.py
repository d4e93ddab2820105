"""What makes an acknowledged write stay: the concerns in force, and MongoDB's own expiry."""

import pytest
from pymongo import ReadPreference

from app.ledger.mongo import MongoLedger
from app.stack.servers import MongoServer
from tests.integration.ledger.material import AT_MS, finish, key, opening, part
from tests.support.eventually import eventually


async def test_mongodb_acknowledges_what_a_majority_has_journaled(mongo_url):
    ledger = MongoLedger(mongo_url, env="test", record_days=30, timeout_ms=10_000)
    for name in ("records", "queues", "leases", "runs", "actions", "quarantine", "facts"):
        collection = getattr(ledger, f"_{name}")
        expected = {"w": "majority", "j": True, "wtimeout": 10_000}
        assert collection.write_concern.document == expected
        assert collection.read_concern.level == "majority"
    await ledger.close()


@pytest.mark.parametrize("w", [1, 0])
async def test_a_weaker_url_does_not_weaken_it(mongo_url, w):
    weak = f"{mongo_url}&w={w}&journal=false&readConcernLevel=local&readPreference=nearest"
    ledger = MongoLedger(weak, env="test", record_days=30, timeout_ms=10_000)
    assert ledger._records.write_concern.document["w"] == "majority"
    assert ledger._records.write_concern.document["j"] is True
    assert ledger._records.read_concern.level == "majority"
    assert ledger._records.read_preference == ReadPreference.PRIMARY
    await ledger.close()


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_sqlite_syncs_every_commit(ledger, kind):
    async def pragma(name):
        return tuple(await ledger._run(lambda db: db.execute(f"PRAGMA {name}").fetchone()))

    assert await pragma("journal_mode") == ("wal",)
    assert await pragma("synchronous") == (2,)


async def test_mongodb_expires_terminal_records_and_no_others(tmp_path):
    server = MongoServer(tmp_path)
    server.process._command += ["--setParameter", "ttlMonitorSleepSecs=1"]
    await server.start()
    try:
        ledger = MongoLedger(
            server.database_url("test"), env="test", record_days=1, timeout_ms=10_000
        )
        await ledger.open()
        long_ago = 1_500_000_000_000
        names = ["succeeded", "cancelled", "expired", "discarded", "dead", "suspended"]
        writes = [finish(key(name), state=name, at_ms=long_ago) for name in names]
        await ledger.record_open([opening(key("open")), opening(key("redriven"), of=part(run=2))])
        await ledger.finish(
            [
                *writes,
                finish(key("redriven"), state="discarded", at_ms=long_ago),
                finish(key("young"), at_ms=AT_MS),
            ]
        )
        keys = [key(name) for name in (*names, "open", "redriven", "young")]

        async def left():
            return {each.task_id for each in await ledger.ask(keys)}

        kept = {"dead", "suspended", "open", "redriven", "young"}

        async def expired():
            return not set(names[:4]) & await left()

        await eventually(expired, within_s=60)
        assert await left() == kept
        await ledger.close()
    finally:
        server.kill9()
