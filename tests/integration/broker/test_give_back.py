"""``give_back.lua``: entries return to the queue unfinished, and no attempt is counted for it."""

from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def give_back(broker, entry, *, started, consumer="w1"):
    (answer,) = await broker.delivery.give_back(broker.token, consumer, [(entry, started)])
    return answer


async def test_an_entry_not_started_is_ready_for_another(broker):
    await broker.submit(envelope())
    entry = await broker.fetch_one()
    assert await give_back(broker, entry, started=False)
    assert await broker.pending() == {}
    again = await broker.fetch_one("w2")
    assert again.entry_id != entry.entry_id
    assert again.envelope == entry.envelope
    assert (await broker.start(again, "w2")).attempt == 1


async def test_a_started_attempt_does_not_count(broker):
    entry = await broker.running()
    assert await give_back(broker, entry, started=True)
    task = await broker.task()
    assert (task["state"], task["attempt"]) == ("queued", "0")
    assert not {"nonce", "worker"} & set(task)


async def test_giving_back_again_changes_nothing(broker):
    entry = await broker.running()
    await give_back(broker, entry, started=True)
    before = await broker.snapshot()
    assert not await give_back(broker, entry, started=True)
    assert await broker.snapshot() == before


async def test_one_who_lost_the_lease_gives_nothing_back(broker):
    entry = await broker.running()
    await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    before = await broker.snapshot()
    assert not await give_back(broker, entry, started=True)
    assert await broker.snapshot() == before


async def test_an_entry_that_ran_is_no_first_delivery(broker):
    await give_back(broker, await broker.running(fresh=True), started=True)
    assert not (await broker.fetch_one()).fresh


async def test_an_entry_that_never_ran_stays_a_first_delivery(broker):
    await broker.submit(envelope(), fresh=True)
    await give_back(broker, await broker.fetch_one(), started=False)
    assert (await broker.fetch_one()).fresh


async def test_an_entry_of_an_earlier_generation_is_no_first_delivery_of_this_one(broker):
    await broker.submit(envelope(), fresh=True)
    await broker.restart()
    entry = await broker.fetch_one()
    assert entry.generation != broker.token
    await give_back(broker, entry, started=False)
    again = await broker.fetch_one()
    assert not (again.fresh and again.generation == broker.token)


async def test_an_entry_whose_hash_was_lost_is_given_back_as_suspect(broker):
    entry = await broker.running()
    await broker.lose_hash()
    assert await give_back(broker, entry, started=True)
    again = await broker.fetch_one()
    assert not again.fresh
    assert (await broker.start(again)).verdict == "ask"


async def test_a_leftover_of_a_task_that_lies_elsewhere_is_dropped(broker):
    entry = await broker.running()
    await broker.lose_hash()
    await broker.restore(envelope(), attempts_ended=1, due_ms=FAR_MS)
    assert not await give_back(broker, entry, started=True)
    assert await broker.ready_ids() == []
    assert (await broker.task())["attempt"] == "1"


async def test_a_lost_stream_takes_nothing_from_the_others_of_the_batch(broker):
    lost = await broker.running("lost", priority="high")
    kept = await broker.running("kept")
    await broker.lose_lane(1)
    answers = await broker.delivery.give_back(broker.token, "w1", [(lost, True), (kept, True)])
    assert answers == [False, True]


async def test_a_settled_task_is_not_brought_back(broker):
    entry = await broker.running()
    await broker.settle(settle_of(entry))
    assert not await give_back(broker, entry, started=True)
    assert await broker.ready_ids() == []
