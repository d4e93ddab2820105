"""``hold_journal.lua``, ``release_journal.lua``, ``journal_end.lua``, ``trim.lua``: the mirror."""

import asyncio

from app.broker.journal import Sightings
from tests.support.broker import settle_of, settle_unseen
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

LEASE_MS = 60_000


async def hold(broker, owner="m1", lease_ms=LEASE_MS, **seen):
    return await broker.journal.hold(broker.token, owner, lease_ms, Sightings(**seen))


async def read(broker, after=None, count=10):
    entries, last = await broker.journal.read(broker.token, after, count)
    return [entry.task_id for entry in entries], last


async def mirrored(broker, *task_ids):
    return await broker.intake.mirrored(broker.token, [(each, 1) for each in task_ids])


async def test_one_mirror_holds_the_journal_and_renews_its_lease(broker):
    assert await hold(broker, "m1")
    assert await hold(broker, "m1")
    assert not await hold(broker, "m2")
    assert await broker.raw.pttl(broker.keys.mirror_lease) > LEASE_MS - 30_000


async def test_another_mirror_follows_when_the_lease_has_run_out(broker):
    await hold(broker, "m1", lease_ms=1)

    async def taken():
        return await hold(broker, "m2")

    await eventually(taken)
    assert not await hold(broker, "m1")


async def test_a_lease_given_back_is_free_at_once(broker):
    await hold(broker, "m1")
    await broker.journal.release(broker.token, "m1")
    assert await hold(broker, "m2")


async def test_only_the_owner_gives_the_lease_back(broker):
    await hold(broker, "m1")
    await broker.journal.release(broker.token, "m2")
    assert not await hold(broker, "m2")


async def test_what_the_mirror_saw_is_added_up(broker):
    await hold(broker, returned=2, refused=1, blocked=True)
    await hold(broker, returned=3, unknown=4, quarantined=5)
    found = await broker.raw.hgetall(broker.keys.mirror)
    assert found == {
        b"leader": b"m1",
        b"blocked": b"0",
        b"returned": b"5",
        b"refused": b"1",
        b"unknown": b"4",
        b"quarantined": b"5",
    }


async def test_one_without_the_lease_adds_nothing(broker):
    await hold(broker, "m1")
    await hold(broker, "m2", returned=9, blocked=True)
    assert await broker.raw.hmget(broker.keys.mirror, "leader", "blocked", "returned") == [
        b"m1",
        b"0",
        None,
    ]


async def test_the_journal_is_read_in_order_behind_a_cursor(broker):
    answers = await broker.submit(*(envelope(each) for each in "abc"))
    ids = [each.journal_id for each in answers]
    assert await read(broker) == (["a", "b", "c"], ids[-1])
    assert await read(broker, count=2) == (["a", "b"], ids[-1])
    assert await read(broker, after=ids[0]) == (["b", "c"], ids[-1])
    assert await read(broker, after=ids[-1]) == ([], ids[-1])


async def test_a_journal_that_does_not_exist_is_empty(broker):
    assert await read(broker) == ([], "0-0")
    assert await read(broker, after="5-1") == ([], "0-0")


async def test_a_reader_is_woken_by_the_next_entry(broker):
    _, last = await read(broker)
    waiting = asyncio.create_task(broker.journal.wait(last, 4_000))
    await broker.submit(envelope())
    async with asyncio.timeout(3):
        await waiting


async def test_trimming_marks_the_confirmed_prefix_and_takes_it_off(broker):
    answers = await broker.submit(*(envelope(each) for each in "abc"))
    entries, _ = await broker.journal.read(broker.token, None, 2)
    assert await broker.journal.trim(broker.token, entries) == 2
    assert await mirrored(broker, "a", "b", "c") == [True, True, False]
    assert await broker.journal_ids() == [answers[2].journal_id]
    assert await broker.recovery.watermark() == (broker.token, answers[1].journal_id)
    assert await broker.raw.hget(broker.keys.mirror, "confirmed") == b"2"


async def test_there_is_no_watermark_before_the_first_confirm(broker):
    await broker.submit(envelope())
    assert await broker.recovery.watermark() is None


async def test_trimming_again_changes_no_mark_and_no_journal(broker):
    await broker.submit(envelope("a"), envelope("b"))
    entries, _ = await broker.journal.read(broker.token, None, 1)
    await broker.journal.trim(broker.token, entries)
    before = await broker.task("a"), await broker.task("b"), await broker.journal_ids()
    await broker.journal.trim(broker.token, entries)
    assert before == (await broker.task("a"), await broker.task("b"), await broker.journal_ids())


async def test_a_hash_that_names_another_journal_entry_is_not_marked(broker):
    await broker.submit(envelope())
    entries, _ = await broker.journal.read(broker.token, None, 10)
    await broker.lose_hash()
    await broker.lose_lane()
    await broker.submit(envelope())
    assert await broker.journal.trim(broker.token, entries) == 0
    assert await mirrored(broker, "a") == [False]
    assert len(await broker.journal_ids()) == 1


async def test_a_hash_that_names_no_journal_entry_is_not_marked(broker):
    entry = await broker.running()
    await broker.lose_hash()
    await broker.start(entry, asked=True)
    assert await broker.confirm() == 0
    assert await mirrored(broker, "a") == [False]


async def test_a_lost_hash_is_not_made_anew_by_its_confirm(broker):
    await broker.submit(envelope())
    await broker.lose_hash()
    assert await broker.confirm() == 0
    assert await broker.task() == {}


async def test_a_journal_that_was_lost_is_no_evidence(broker):
    await broker.submit(envelope("a"))
    await broker.raw.delete(broker.keys.journal)
    await broker.submit(envelope("b"))
    assert await broker.confirm() == 1
    assert await mirrored(broker, "a", "b") == [False, True]


async def test_a_settled_hash_expires_from_its_confirm_on_and_an_open_one_does_not(broker):
    await broker.settle(settle_of(await broker.running("a")))
    await broker.submit(envelope("b"))
    await broker.confirm()
    assert await broker.raw.pttl(broker.keys.task("a")) > 0
    assert await broker.raw.pttl(broker.keys.task("b")) == -1


async def test_a_run_redone_after_settling_does_not_expire_with_the_old_one(broker):
    await broker.submit(envelope())
    await broker.settle(settle_unseen("a"))
    await broker.restore(envelope(run=2))
    await broker.confirm()
    assert await broker.raw.pttl(broker.keys.task("a")) == -1
