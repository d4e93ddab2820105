"""``refresh.lua``, ``refreshed.lua``: what must be confirmed before an old copy may go."""

from app.broker.delivery import PutOff
from app.broker.recovery import Refresh
from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def journaled(broker):
    entries, _ = await broker.journal.read(broker.token, None, 10)
    return [(entry.journal_id, entry.task_id, entry.refresh) for entry in entries]


async def submitted(broker, **options):
    (answer,) = await broker.submit(envelope(**options))
    return answer.journal_id


async def test_never_the_copys_own_journal_id_although_it_is_not_confirmed(broker):
    own = await submitted(broker)
    new = await broker.refresh(journal_id=own)
    assert new != own
    assert await journaled(broker) == [(own, "a", False), (new, "a", True)]


async def test_the_new_entry_carries_the_same_envelope_and_run(broker):
    own = await submitted(broker)
    await broker.confirm()
    await broker.refresh(journal_id=own)
    (entry,), _ = await broker.journal.read(broker.token, None, 10)
    assert (entry.envelope, entry.run) == (envelope().raw, 1)


async def test_asked_again_it_names_the_same_new_id(broker):
    own = await submitted(broker)
    new = await broker.refresh(journal_id=own)
    assert await broker.refresh(journal_id=own) == new
    assert len(await journaled(broker)) == 2


async def test_two_copies_of_one_journal_entry_wait_for_the_same_new_one(broker):
    own = await submitted(broker)
    answers = await broker.recovery.refresh(broker.token, [Refresh("a", 1, broker.token, own)] * 2)
    assert answers[0] == answers[1] != own


async def test_a_task_journaled_again_already_is_waited_for(broker):
    await submitted(broker)
    own = (await broker.task())["jid"]
    assert await broker.refresh(journal_id="1-1") == own
    assert len(await journaled(broker)) == 1


async def test_a_refreshed_copy_is_refreshed_again_in_its_turn(broker):
    first = await submitted(broker)
    second = await broker.refresh(journal_id=first)
    third = await broker.refresh(journal_id=second)
    assert len({first, second, third}) == 3


async def test_the_confirm_of_the_new_entry_marks_the_task(broker):
    own = await submitted(broker)
    old, _ = await broker.journal.read(broker.token, None, 10)
    await broker.refresh(journal_id=own)
    assert await broker.journal.trim(broker.token, old) == 0
    assert await broker.confirm() == 1
    assert await broker.intake.mirrored(broker.token, [("a", 1)]) == [True]


async def test_an_id_of_an_earlier_generation_is_never_waited_for(broker):
    # The data outlived a restart: the hash still names the very entry the copy came from, and the
    # first watermark of the new generation lies beyond it.
    own = await submitted(broker)
    await broker.confirm()
    earlier = broker.token
    await broker.restart()
    new = await broker.refresh(generation=earlier, journal_id=own)
    assert new != own
    assert [each[0] for each in await journaled(broker)] == [new]


async def test_an_id_given_in_this_generation_is_waited_for_by_an_earlier_copy(broker):
    own = await submitted(broker)
    earlier = broker.token
    await broker.restart()
    new = await broker.refresh(generation=earlier, journal_id=own)
    assert await broker.refresh(generation=earlier, journal_id=own) == new
    assert await broker.refresh(generation=earlier, journal_id=new) == new
    assert await broker.refresh(journal_id=new) != new


async def test_a_task_of_an_earlier_generation_is_no_first_delivery_after_its_refresh(broker):
    own = await submitted(broker, notBefore=FAR_MS)
    earlier = broker.token
    await broker.restart()
    await broker.refresh(generation=earlier, journal_id=own)
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    assert not (await broker.fetch_one()).fresh


async def test_a_restored_task_is_journaled_anew(broker):
    await broker.restore(envelope())
    new = await broker.refresh(generation="lost", journal_id="7-1")
    assert await journaled(broker) == [(new, "a", True)]


async def test_delayed_and_running_tasks_are_open(broker):
    own = await submitted(broker, notBefore=FAR_MS)
    assert await broker.refresh(journal_id=own)
    entry = await broker.running("b")
    assert await broker.refresh("b", journal_id=(await broker.task("b"))["jid"])
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)])
    assert await broker.refresh("b", journal_id=(await broker.task("b"))["jid"])


async def test_a_task_that_is_not_open_here_is_not_journaled(broker):
    await broker.settle(settle_of(await broker.running("settled")))
    await broker.restore(envelope("later", run=2))
    own = (await broker.submit(envelope("lost", priority="low")))[0].journal_id
    await broker.lose_lane(3)
    before = await journaled(broker)
    assert await broker.refresh("settled", journal_id="1-1") is None
    assert await broker.refresh("later", run=1, journal_id="1-1") is None
    assert await broker.refresh("absent", journal_id="1-1") is None
    assert await broker.refresh("lost", journal_id=own) is None
    assert await journaled(broker) == before


async def refreshed(broker, journal_id, run=1):
    (answer,) = await broker.recovery.refreshed(broker.token, [("a", run, journal_id)])
    return answer


async def test_a_new_copy_counts_from_its_own_confirm_on(broker):
    own = await submitted(broker)
    await broker.confirm()
    new = await broker.refresh(journal_id=own)
    assert not await refreshed(broker, new)
    await broker.confirm()
    assert await refreshed(broker, new)


async def test_a_confirm_of_another_entry_or_run_is_no_evidence(broker):
    own = await submitted(broker)
    new = await broker.refresh(journal_id=own)
    await broker.confirm()
    assert not await refreshed(broker, own)
    assert not await refreshed(broker, new, run=2)
    await broker.lose_hash()
    assert not await refreshed(broker, new)


async def test_a_journal_lost_with_the_new_entry_is_no_evidence_although_the_watermark_passes(
    broker,
):
    own = await submitted(broker)
    await broker.confirm()
    new = await broker.refresh(journal_id=own)
    await broker.lose_journal()
    await broker.submit(envelope("b"))
    await broker.confirm()
    _, watermark = await broker.recovery.watermark()
    assert watermark > new
    assert not await refreshed(broker, new)


async def test_an_entry_lost_with_the_journal_is_not_waited_for_again(broker):
    own = await submitted(broker)
    await broker.confirm()
    lost = await broker.refresh(journal_id=own)
    await broker.lose_journal()
    again = await broker.refresh(journal_id=own)
    assert again not in (lost, own)
    await broker.confirm()
    assert await refreshed(broker, again)


async def test_a_first_entry_lost_unconfirmed_with_the_journal_is_not_waited_for(broker):
    own = await submitted(broker)
    await broker.lose_journal()
    new = await broker.refresh(generation="earlier", journal_id="1-1")
    assert new != own
    assert [each[0] for each in await journaled(broker)] == [new]
