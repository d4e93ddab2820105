"""``drop.lua``: entries whose id belongs to another request go without an outcome."""

from tests.support.broker import settle_of
from tests.support.envelopes import envelope


async def drop(broker, entry, consumer="w1"):
    (answer,) = await broker.delivery.drop(broker.token, consumer, [entry])
    return answer


async def test_the_entry_and_its_hash_go(broker):
    entry = await broker.running()
    assert await drop(broker, entry)
    assert await broker.ready_ids() == []
    assert await broker.pending() == {}
    assert await broker.task() == {}


async def test_the_owner_of_the_id_can_be_restored_afterwards(broker):
    await drop(broker, await broker.running())
    assert await broker.restore(envelope(payload={"to": "the owner"})) == "restored"


async def test_a_hash_that_names_another_entry_stays(broker):
    entry = await broker.running()
    await broker.lose_hash()
    await broker.restore(envelope())
    assert await drop(broker, entry)
    assert (await broker.inspect()).standing == "present"


async def test_one_who_lost_the_lease_drops_nothing(broker):
    entry = await broker.running()
    await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    before = await broker.snapshot()
    assert not await drop(broker, entry)
    assert await broker.snapshot() == before


async def test_dropping_again_changes_nothing(broker):
    entry = await broker.running("a")
    await broker.running("b")
    await drop(broker, entry)
    before = await broker.snapshot()
    assert not await drop(broker, entry)
    assert await broker.snapshot() == before


async def test_a_lost_stream_takes_nothing_from_the_others_of_the_batch(broker):
    lost = await broker.running("lost", priority="high")
    kept = await broker.running("kept")
    await broker.lose_lane(1)
    assert await broker.delivery.drop(broker.token, "w1", [lost, kept]) == [False, True]


async def test_a_settled_task_stays_settled(broker):
    entry = await broker.running()
    await broker.settle(settle_of(entry))
    assert not await drop(broker, entry)
    assert await broker.state() == "succeeded"
