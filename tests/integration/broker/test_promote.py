"""``due.lua``, ``promote.lua``: delayed tasks become ready when Redis's clock says so."""

from app.broker.delivery import PutOff
from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope
from tests.support.eventually import eventually


async def test_nothing_is_due_where_nothing_is_delayed(broker):
    assert await broker.delivery.due(broker.token, 10) == ([], None)


async def test_due_names_those_whose_time_has_come_and_the_time_to_the_next(broker):
    await broker.submit(*(envelope(each, notBefore=FAR_MS) for each in "abc"))
    await broker.make_due("b")
    ids, next_ms = await broker.delivery.due(broker.token, 10)
    assert ids == ["b"]
    assert 0 < next_ms < FAR_MS


async def test_due_names_at_most_so_many(broker):
    await broker.submit(*(envelope(each, notBefore=FAR_MS) for each in "abc"))
    for each in "abc":
        await broker.make_due(each)
    assert len((await broker.delivery.due(broker.token, 2))[0]) == 2


async def test_a_scheduled_task_becomes_due_by_itself(broker):
    (seconds, micros) = await broker.raw.time()
    soon = seconds * 1_000 + micros // 1_000 + 60
    await broker.submit(envelope(notBefore=soon))

    async def promoted():
        return await broker.delivery.promote(broker.token, ["a"]) == [1]

    await eventually(promoted)


async def test_a_due_task_is_ready_once(broker):
    await broker.submit(envelope(notBefore=FAR_MS))
    assert await broker.delivery.promote(broker.token, ["a"]) == [0]
    await broker.make_due()
    assert await broker.delivery.promote(broker.token, ["a"]) == [1]
    assert await broker.delivery.promote(broker.token, ["a"]) == [0]
    task = await broker.task()
    assert (task["state"], task["place"]) == ("queued", "ready")
    assert not {"due", "envelope"} & set(task)
    entry = await broker.fetch_one()
    assert entry.envelope == envelope(notBefore=FAR_MS).raw
    assert (await broker.start(entry)).verdict == "run"


async def test_a_retry_that_is_due_is_no_longer_counted_as_retrying(broker):
    entry = await broker.running()
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)])
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    assert await broker.raw.scard(broker.keys.retrying) == 0
    assert await broker.state() == "queued"


async def test_the_priority_is_kept(broker):
    await broker.submit(envelope(notBefore=FAR_MS, priority="high"))
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    assert (await broker.fetch_one()).lane == 1


async def test_a_member_without_its_hash_is_an_orphan_and_removed(broker):
    await broker.submit(envelope(notBefore=FAR_MS))
    await broker.lose_hash()
    await broker.make_due()
    assert await broker.delivery.promote(broker.token, ["a"]) == [-1]
    assert await broker.raw.zcard(broker.keys.delayed) == 0
    assert await broker.ready_ids() == []


async def test_a_member_of_a_task_that_lies_elsewhere_is_an_orphan_and_removed(broker):
    entry = await broker.running()
    await broker.raw.zadd(broker.keys.delayed, {"a": 1})
    assert await broker.delivery.promote(broker.token, ["a"]) == [-1]
    assert await broker.ready_ids() == ["a"]
    assert await broker.state() == "running"
    await broker.settle(settle_of(entry))


async def test_a_batch_is_answered_in_order(broker):
    await broker.submit(envelope("a", notBefore=FAR_MS), envelope("b", notBefore=FAR_MS))
    await broker.make_due("b")
    assert await broker.delivery.promote(broker.token, ["a", "b", "c"]) == [0, 1, 0]


async def test_an_id_made_here_stays_a_first_delivery(broker):
    await broker.submit(envelope(notBefore=FAR_MS), fresh=True)
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    assert (await broker.fetch_one()).fresh


async def test_a_task_of_an_earlier_generation_is_no_first_delivery_of_this_one(broker):
    # After a failover the delayed set may hold what ran to its end on the lost server.
    await broker.submit(envelope(notBefore=FAR_MS), fresh=True)
    await broker.restart()
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    entry = await broker.fetch_one()
    assert not (entry.fresh and entry.generation == broker.token)
