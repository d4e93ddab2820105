"""A journal entry that is no envelope: kept for a person, and no obstacle to the others."""

import sqlite3

import pytest

from tests.support.envelopes import QUEUE, TENANT
from tests.support.eventually import eventually


@pytest.fixture
def settings(make_settings, redis_url):
    return make_settings(redis_url=redis_url, store_timeout_ms=2_000)


async def journal_rubbish(world, task_id="bad"):
    """A journal entry nobody can read, and the hash of its task."""
    fields = {"id": task_id, "run": 1, "kind": "task", "envelope": b"\xff rubbish"}
    journal_id = await world.raw.xadd(world.keys.journal, fields)
    hash_fields = {"run": 1, "jid": journal_id, "mirrored": 0, "state": "queued"}
    await world.raw.hset(world.keys.task(task_id), mapping=hash_fields)
    return journal_id.decode()


async def test_it_goes_to_the_quarantine_and_the_others_are_mirrored(start_mirror, world, ledger):
    await world.submit("before")
    journal_id = await journal_rubbish(world)
    await world.submit("after")
    start_mirror()
    await eventually(lambda: world.all_marked("before", "after"))
    assert await world.taken_ids() == ["before", "after"]
    assert await world.journal_ids() == []
    (record,) = await ledger.quarantined(10)
    assert (record.reason, record.body) == ("NOT_AN_ENVELOPE", b"\xff rubbish")
    assert (record.tenant, record.queue, record.task_id) == (TENANT, QUEUE, "bad")
    assert record.headers["x-journal-id"] == journal_id
    await eventually(lambda: says_quarantined(world))
    # RabbitMQ has no copy of it.
    assert await world.marks("bad") == [False]


async def says_quarantined(world):
    return (await world.figures()).get("quarantined") == "1"


async def test_it_stays_in_the_journal_until_the_ledger_has_it(
    start_mirror, world, ledger, sqlite_path
):
    mirror = start_mirror()
    await world.submit("before")
    await eventually(lambda: world.all_marked("before"))
    lock = sqlite3.connect(sqlite_path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        bad = await journal_rubbish(world)
        (after,) = await world.submit("after")
        await eventually(lambda: two_copies(world))
        # By now the ledger was asked, and more than once.
        await eventually(lambda: (mirror.total("unmirrored_oldest_age_seconds") or 0) > 5)
        assert await world.journal_ids() == [bad, after]
        assert await world.marks("after") == [False]
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    await eventually(lambda: world.all_marked("after"), within_s=60)
    assert len(await ledger.quarantined(10)) == 1
    assert await world.journal_ids() == []


async def two_copies(world):
    return await world.copies_ready() == 2
