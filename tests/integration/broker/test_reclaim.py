"""``reclaim.lua``: entries of a consumer that fell silent go to another."""

from tests.support.broker import settle_of
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

HOUR_MS = 3_600_000


async def test_a_silent_consumers_entry_is_taken_over(broker):
    entry = await broker.running("a", "w1")
    cursor, (taken,) = await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    assert cursor == "0-0"
    assert taken.reclaimed
    assert (taken.entry_id, taken.task_id, taken.lane) == (entry.entry_id, "a", 2)
    assert taken.envelope == envelope().raw
    assert await broker.pending() == {entry.entry_id: "w2"}


async def test_a_lease_that_has_not_run_out_is_respected(broker):
    entry = await broker.running("a", "w1")
    assert await broker.delivery.reclaim(broker.token, "w2", 2, HOUR_MS, 10) == ("0-0", [])
    assert await broker.pending() == {entry.entry_id: "w1"}


async def test_a_long_list_is_walked_with_the_cursor(broker):
    await broker.submit(*(envelope(f"t{i}") for i in range(5)))
    await broker.fetch("w1")
    found, cursor = [], "0-0"
    while True:
        cursor, entries = await broker.delivery.reclaim(broker.token, "w2", 2, 0, 2, cursor)
        found += [entry.task_id for entry in entries]
        if cursor == "0-0":
            break
    assert found == [f"t{i}" for i in range(5)]


async def test_each_lane_is_looked_at_on_its_own(broker):
    await broker.running("a", priority="low")
    assert (await broker.delivery.reclaim(broker.token, "w2", 1, 0, 10))[1] == []
    _, (taken,) = await broker.delivery.reclaim(broker.token, "w2", 3, 0, 10)
    assert taken.lane == 3


async def test_a_lost_stream_has_nothing_to_take_over(broker):
    await broker.running()
    await broker.lose_lane()
    assert await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10) == ("0-0", [])


async def consumers(broker, lane=2):
    found = await broker.raw.xinfo_consumers(broker.keys.lanes[lane - 1], "workers")
    return {each["name"].decode() for each in found}


async def test_a_consumer_long_gone_is_forgotten_but_not_one_with_work(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.fetch("busy", count=1)
    await broker.settle(settle_of(await broker.fetch_one("idle")))
    assert await consumers(broker) == {"busy", "idle"}

    async def forgotten():
        # 20 leases of 1 ms; the busy one's lease is renewed so that it keeps its entry.
        await broker.delivery.reclaim(broker.token, "busy", 2, 1, 10)
        return await consumers(broker) == {"busy"}

    await eventually(forgotten)
    assert set((await broker.pending()).values()) == {"busy"}
