"""``coverage.lua``, ``retired.lua`` and who counts for them: what the mirror left out shows."""

import pytest

from app.broker.coverage import MINUTE_MS, count_retired, read_coverage
from app.broker.intake import Submission
from app.broker.survey import Survey
from app.canary import new_canary_id
from tests.support.broker import settle_of
from tests.support.envelopes import envelope

MINUTES = 5


async def coverage(broker, minutes=MINUTES):
    return await read_coverage(broker.redis, broker.keys, broker.token, minutes)


async def sums(broker):
    """(accepted, mirrored, waiting, missing): a minute may end within a test."""
    found = await coverage(broker)
    return tuple(
        sum(getattr(each, name) for each in found.minutes)
        for name in ("accepted", "mirrored", "waiting", "missing")
    )


async def age(broker, minutes=2, task_id="a"):
    """As if everything had happened ``minutes`` earlier to the one task there is."""
    for name, count in (await broker.raw.hgetall(broker.keys.coverage)).items():
        if name != b"since":
            kind, at = name[:1].decode(), int(name[1:])
            await broker.raw.hdel(broker.keys.coverage, name)
            await broker.raw.hset(broker.keys.coverage, f"{kind}{at - minutes}", count)
    key, jid = broker.keys.task(task_id), (await broker.task(task_id))["jid"]
    old = f"{int(jid.split('-')[0]) - minutes * MINUTE_MS}-0"
    await broker.raw.hset(key, "jid", old)
    for entry, fields in await broker.raw.xrange(broker.keys.journal):
        await broker.raw.delete(broker.keys.journal)
        assert entry.decode() == jid
        await broker.raw.xadd(broker.keys.journal, fields, id=old)


async def test_what_waits_for_the_mirror_is_waiting_and_then_mirrored(broker):
    assert (await coverage(broker)).since_ms is None
    await broker.submit(envelope("a"), envelope("b"))
    assert await sums(broker) == (2, 0, 2, 0)
    await broker.confirm()
    assert await sums(broker) == (2, 2, 0, 0)


async def test_an_entry_that_is_lost_from_the_journal_is_missing_in_its_minute(broker):
    await broker.submit(envelope("a"), envelope("b"), envelope("c"))
    _, skipped, _ = await broker.journal_ids()
    await broker.raw.xdel(broker.keys.journal, skipped)
    await broker.confirm()
    found = await coverage(broker)
    at_ms = int(skipped.split("-")[0]) // MINUTE_MS * MINUTE_MS
    assert {each.at_ms: each.missing for each in found.minutes if each.missing} == {at_ms: 1}
    assert (found.missing, found.lost) == (1, 1)


async def test_an_entry_that_a_mirror_trims_without_its_confirm_is_missing(broker):
    await broker.submit(envelope("a"), envelope("b"))
    entries, _ = await broker.journal.read(broker.token, None, 10)
    await broker.journal.trim(broker.token, entries[1:])
    assert await sums(broker) == (2, 1, 0, 1)


async def test_it_stays_missing_although_the_task_has_run(broker):
    entry = await broker.running()
    await broker.lose_journal()
    await broker.settle(settle_of(entry))
    assert await sums(broker) == (1, 0, 0, 1)


async def test_journaling_it_again_mends_the_minute_it_was_accepted_in(broker):
    await broker.submit(envelope())
    await broker.lose_journal()
    await age(broker)
    assert await sums(broker) == (1, 0, 0, 1)
    for _ in range(2):
        await Survey(broker.redis, broker.keys).rejournal(broker.token, ["a"])
        await broker.confirm()
        assert await sums(broker) == (1, 1, 0, 0)


async def test_a_copy_that_is_made_anew_is_missing_until_its_confirm(broker):
    await broker.submit(envelope())
    await broker.confirm()
    await Survey(broker.redis, broker.keys).rejournal(broker.token, ["a"])
    assert (await sums(broker))[1] == 0
    await broker.confirm()
    assert await sums(broker) == (1, 1, 0, 0)


async def test_a_refresh_is_counted_nowhere(broker):
    await broker.submit(envelope())
    await broker.confirm()
    assert await broker.refresh(journal_id=(await broker.task())["jid"])
    await broker.confirm()
    assert await sums(broker) == (1, 1, 0, 0)


async def test_a_refresh_of_what_has_no_mark_mends_the_first_minute(broker):
    await broker.submit(envelope())
    await broker.lose_journal()
    await age(broker)
    assert await broker.refresh()
    assert await broker.confirm() == 1
    assert await sums(broker) == (1, 1, 0, 0)


async def test_what_is_restored_was_not_accepted_here_and_is_not_counted(broker):
    await broker.restore(envelope())
    await broker.refresh()
    await broker.confirm()
    assert await sums(broker) == (0, 0, 0, 0)


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_next_run_is_counted_and_takes_the_place_of_one_without_its_copy(broker, confirmed):
    await broker.submit(envelope())
    if confirmed:
        await broker.confirm()
    await broker.settle(settle_of(await broker.fetch_one()))
    await broker.intake.redrive(broker.token, [Submission(envelope(run=2), fresh=False)])
    await broker.confirm()
    assert await sums(broker) == ((2, 2, 0, 0) if confirmed else (1, 1, 0, 0))


async def test_a_repeated_submit_and_a_repeated_trim_count_once(broker):
    await broker.submit(envelope())
    await broker.submit(envelope())
    entries, _ = await broker.journal.read(broker.token, None, 10)
    await broker.journal.trim(broker.token, entries)
    await broker.journal.trim(broker.token, entries)
    assert await sums(broker) == (1, 1, 0, 0)


async def test_what_waits_for_more_than_a_minute_is_missing_and_not_lost(broker):
    await broker.submit(envelope())
    await age(broker)
    found = await coverage(broker)
    assert (found.missing, found.lost) == (1, 0)
    await broker.confirm()
    assert await sums(broker) == (1, 1, 0, 0)


async def test_retired_copies_are_counted_and_the_hash_of_a_canary_says_so(broker):
    canary = new_canary_id()
    await broker.submit(envelope("a"), envelope(canary))
    await count_retired(broker.redis, broker.keys, broker.token, 2, [canary, new_canary_id()])
    assert sum(each.retired for each in (await coverage(broker)).minutes) == 2
    assert int((await broker.task(canary))["retired"]) > 0
    assert "retired" not in await broker.task("a")


async def test_a_wipe_takes_the_counts_along(broker):
    await broker.submit(envelope())
    await broker.lose_everything()
    assert (await coverage(broker)).since_ms is None
    await broker.submit(envelope("b"))
    assert await sums(broker) == (1, 0, 1, 0)


async def test_counts_older_than_a_day_go(broker):
    old = {f"{kind}{minute}": 1 for minute in range(1, 2_000) for kind in "amr"}
    await broker.raw.hset(broker.keys.coverage, mapping=old)
    await broker.submit(envelope())
    found = await broker.raw.hkeys(broker.keys.coverage)
    assert len(found) == 2
    assert b"since" in found
    assert await broker.raw.pttl(broker.keys.coverage) > 0
