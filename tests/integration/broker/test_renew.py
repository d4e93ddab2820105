"""``renew.lua``: a lease is renewed only by the one who still holds it."""

import pytest

from app.state import TaskState
from tests.support.broker import settle_of
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

AGED_MS = 1_000
"""More than lies between two calls on a busy machine."""


async def idle_ms(broker, lane=2):
    (found,) = await broker.raw.xpending_range(broker.keys.lanes[lane - 1], "workers", "-", "+", 9)
    return found["time_since_delivered"]


async def test_a_lease_held_begins_anew(broker):
    entry = await broker.running()

    async def aged():
        return await idle_ms(broker) >= AGED_MS

    await eventually(aged)
    assert await broker.delivery.renew(broker.token, "w1", [entry]) == ["held"]
    assert await idle_ms(broker) < AGED_MS
    assert await broker.pending() == {entry.entry_id: "w1"}


async def test_renewing_is_no_delivery(broker):
    entry = await broker.running()
    for _ in range(3):
        await broker.delivery.renew(broker.token, "w1", [entry])
    (found,) = await broker.raw.xpending_range(broker.keys.lanes[1], "workers", "-", "+", 9)
    assert found["times_delivered"] == 1


async def test_a_reclaimed_entry_is_not_stolen_back(broker):
    entry = await broker.running()
    await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    assert await broker.delivery.renew(broker.token, "w1", [entry]) == ["lost"]
    assert await broker.pending() == {entry.entry_id: "w2"}


@pytest.mark.parametrize(
    ("state", "answer"), [(TaskState.SUCCEEDED, "lost"), (TaskState.CANCELLED, "over")]
)
async def test_a_settled_entry_is_not_held_any_more(broker, state, answer):
    entry = await broker.running()
    await broker.settle(settle_of(entry, state))
    assert await broker.delivery.renew(broker.token, "w1", [entry]) == [answer]


async def test_a_batch_is_answered_in_order(broker):
    a, b, c = [await broker.running(each) for each in "abc"]
    await broker.settle(settle_of(a))
    await broker.intake.mark_cancel(broker.token, "b")
    assert await broker.delivery.renew(broker.token, "w1", [a, b, c]) == [
        "lost",
        "cancel",
        "held",
    ]


async def test_a_lost_stream_costs_only_the_leases_in_it(broker):
    lost = await broker.running("lost", priority="high")
    kept = await broker.running("kept")
    await broker.lose_lane(1)
    await broker.submit(envelope("later", priority="high"))
    assert await broker.delivery.renew(broker.token, "w1", [lost, kept]) == ["lost", "held"]
