from app.worker.fetcher import lane_order
from app.worker.slots import Slots


def test_there_is_room_for_as_many_as_may_run():
    slots = Slots(2)
    assert slots.room == 2
    slots.take()
    slots.take()
    assert slots.room == 0


def test_what_waits_to_be_settled_leaves_its_place_to_another():
    slots = Slots(2)
    slots.take()
    slots.take()
    slots.leave()
    assert slots.room == 1


def test_what_waits_to_be_settled_does_not_pile_up():
    slots = Slots(2)
    for _ in range(4):
        slots.take()
        slots.leave()
    assert slots.room == 0
    slots.free()
    assert slots.room == 1


async def test_waiting_for_room_ends_when_a_place_is_free():
    slots = Slots(1)
    slots.take()
    assert not await slots.wait_for_room(0.01)
    slots.leave()
    assert await slots.wait_for_room(10)


def test_every_lane_leads_now_and_then():
    orders = [lane_order(turn) for turn in range(20)]
    assert {order[0] for order in orders} == {"1", "2", "3"}
    assert sum(order[0] == "1" for order in orders) >= 15
    assert all(sorted(order) == ["1", "2", "3"] for order in orders)
