"""``rejournal.lua``: open tasks are journaled again, and their marks are no lie meanwhile."""

import pytest

from app.broker.survey import Survey
from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def rejournal(broker, *task_ids, **how):
    return await Survey(broker.redis, broker.keys).rejournal(broker.token, task_ids or ["a"], **how)


async def outcomes(broker, *task_ids, **how):
    return [each.outcome for each in await rejournal(broker, *task_ids, **how)]


async def mirrored(broker, task_id="a"):
    (mark,) = await broker.intake.mirrored(broker.token, [(task_id, 1)])
    return mark


async def journal_entries(broker):
    entries, _ = await broker.journal.read(broker.token, None, 100)
    return entries


@pytest.mark.parametrize("options", [{}, {"priority": "low"}, {"notBefore": FAR_MS}], ids=str)
async def test_a_mirrored_task_is_journaled_anew_and_its_mark_taken_off(broker, options):
    await broker.submit(envelope(**options))
    await broker.confirm()
    before = await broker.task()
    (answer,) = await rejournal(broker)
    assert (answer.outcome, answer.run) == ("journaled", 1)
    assert not await mirrored(broker)
    (entry,) = await journal_entries(broker)
    assert entry.journal_id == answer.journal_id != before["jid"]
    assert (entry.task_id, entry.run, entry.refresh) == ("a", 1, False)
    assert entry.envelope == envelope(**options).raw
    assert await broker.confirm() == 1
    assert await mirrored(broker)
    assert {**await broker.task(), "jid": ""} == {**before, "jid": "", "first": before["jid"]}


async def test_a_running_task_is_journaled_too_and_goes_on(broker):
    entry = await broker.running()
    await broker.confirm()
    assert await outcomes(broker) == ["journaled"]
    assert (await broker.task())["state"] == "running"
    await broker.settle(settle_of(entry))
    assert (await broker.task())["place"] == ""


async def test_what_waits_in_the_journal_is_left_alone_however_often_it_is_asked(broker):
    await broker.submit(envelope())
    assert await outcomes(broker) == ["waiting"]
    await broker.confirm()
    assert await outcomes(broker) == ["journaled"]
    assert await outcomes(broker) == ["waiting"]
    assert len(await journal_entries(broker)) == 1


async def test_a_refresh_under_way_is_left_alone_but_its_mark_is_taken_off(broker):
    await broker.submit(envelope())
    await broker.confirm()
    await broker.refresh(journal_id=(await broker.task())["jid"])
    assert await outcomes(broker) == ["waiting"]
    assert not await mirrored(broker)
    await broker.confirm()
    assert await mirrored(broker)


async def test_what_was_confirmed_behind_the_given_id_is_left_alone(broker):
    await broker.submit(envelope("before"))
    await broker.confirm()
    since = (await broker.task("before"))["jid"]
    await broker.submit(envelope("after"))
    await broker.confirm()
    assert await outcomes(broker, "before", "after", since=since) == ["journaled", "confirmed"]
    assert await mirrored(broker, "after")


async def test_a_confirm_of_an_earlier_generation_counts_for_nothing(broker):
    await broker.submit(envelope())
    await broker.confirm()
    await broker.restart()
    assert await outcomes(broker, since="0-1") == ["journaled"]
    # Not to be taken for the first delivery of this generation.
    assert (await broker.task())["fresh"] == "0"


async def test_a_journal_that_was_lost_is_written_again(broker):
    await broker.submit(envelope())
    await broker.raw.delete(broker.keys.journal)
    assert await outcomes(broker) == ["journaled"]


async def test_another_tasks_entry_under_the_same_id_is_not_its_own(broker):
    await broker.submit(envelope("a"), envelope("b"))
    jid = (await broker.task("b"))["jid"]
    await broker.raw.hset(broker.keys.task("a"), "jid", jid)
    assert await outcomes(broker, "a", "b") == ["journaled", "waiting"]


async def test_finished_unknown_and_displaced_tasks_are_not_journaled(broker):
    entry = await broker.running("done")
    await broker.settle(settle_of(entry))
    await broker.submit(envelope("displaced"))
    await broker.confirm()
    await broker.lose_lane()
    assert await outcomes(broker, "done", "displaced", "never-seen") == ["gone"] * 3
    assert await journal_entries(broker) == []


async def test_a_task_that_ends_meanwhile_is_remembered_until_its_copy_is_confirmed(broker):
    entry = await broker.running()
    await broker.confirm()
    await rejournal(broker)
    await broker.settle(settle_of(entry))
    assert await broker.raw.pttl(broker.keys.task("a")) == -1
    await broker.confirm()
    assert await broker.raw.pttl(broker.keys.task("a")) > 0


async def test_only_telling_changes_nothing(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.confirm()
    await broker.refresh("b", journal_id=(await broker.task("b"))["jid"])
    before = await broker.snapshot()
    assert await outcomes(broker, "a", "b", only_tell=True) == ["journaled", "waiting"]
    assert await broker.snapshot() == before
