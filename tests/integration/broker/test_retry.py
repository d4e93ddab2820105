"""``retry.lua``: a failed attempt is put off by the one who owns it, once."""

from app.broker.delivery import PutOff
from tests.support.broker import FAR_MS
from tests.support.envelopes import envelope


async def put_off(broker, entry, *, attempt=1, due_ms=FAR_MS, consumer="w1"):
    (answer,) = await broker.delivery.put_off(
        broker.token, consumer, [PutOff(entry, attempt, due_ms)]
    )
    return answer


async def test_a_failed_attempt_waits_for_its_due_time(broker):
    entry = await broker.running()
    assert await put_off(broker, entry) == "ok"
    task = await broker.task()
    assert (task["state"], task["place"], task["attempt"]) == ("retrying", "delayed", "1")
    assert task["due"] == str(FAR_MS)
    assert await broker.raw.zscore(broker.keys.delayed, "a") == FAR_MS
    assert await broker.ready_ids() == []
    assert await broker.pending() == {}
    (found,) = await broker.intake.look(broker.token, ["a"])
    assert found.envelope == envelope().raw


async def test_the_next_attempt_counts_on(broker):
    await put_off(broker, await broker.running())
    await broker.make_due()
    assert await broker.delivery.promote(broker.token, ["a"]) == [1]
    assert (await broker.start(await broker.fetch_one(), asked=True)).attempt == 2


async def test_putting_off_again_changes_nothing(broker):
    entry = await broker.running()
    await put_off(broker, entry)
    before = await broker.snapshot()
    assert await put_off(broker, entry) == "gone"
    assert await broker.snapshot() == before


async def test_one_who_lost_the_lease_puts_off_nothing(broker):
    entry = await broker.running()
    await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    before = await broker.snapshot()
    assert await put_off(broker, entry) == "gone"
    assert await broker.snapshot() == before


async def test_an_entry_lost_from_its_stream_holds_up_no_other(broker):
    lost, other = await broker.running("a"), await broker.running("b")
    await broker.raw.xdel(broker.keys.lanes[1], lost.entry_id)
    answers = await broker.delivery.put_off(
        broker.token, "w1", [PutOff(lost, 1, FAR_MS), PutOff(other, 1, FAR_MS)]
    )
    assert answers == ["gone", "ok"]
    assert await broker.raw.zrange(broker.keys.delayed, 0, -1) == [b"b"]


async def test_an_earlier_attempt_puts_off_nothing(broker):
    entry = await broker.running()
    await broker.start(entry)
    assert await put_off(broker, entry, attempt=1) == "gone"
    assert await broker.state() == "running"
    assert await put_off(broker, entry, attempt=2) == "ok"


async def test_a_task_that_does_not_run_is_not_put_off(broker):
    await broker.submit(envelope())
    entry = await broker.fetch_one()
    assert await put_off(broker, entry, attempt=0) == "gone"
    assert await broker.state() == "queued"


async def test_a_task_whose_hash_was_lost_keeps_its_entry(broker):
    entry = await broker.running()
    await broker.lose_hash()
    assert await put_off(broker, entry) == "gone"
    assert await broker.pending() == {entry.entry_id: "w1"}


async def test_a_lost_stream_takes_nothing_from_the_others_of_the_batch(broker):
    lost = await broker.running("lost", priority="high")
    kept = await broker.running("kept")
    await broker.lose_lane(1)
    wishes = [PutOff(lost, 1, FAR_MS), PutOff(kept, 1, FAR_MS)]
    assert await broker.delivery.put_off(broker.token, "w1", wishes) == ["gone", "ok"]


async def test_a_task_put_off_is_asked_about_before_its_next_attempt(broker):
    await put_off(broker, await broker.running(fresh=True))
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    assert not (await broker.fetch_one()).fresh
