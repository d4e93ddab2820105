"""Workers say that they live, and what they are."""

import asyncio

from app.names import QueueName
from app.worker import presence
from tests.integration.worker.house import NAME, TYPE
from tests.support.eventually import eventually


async def listed(house, worker):
    return next((each for each in await house.workers() if each.worker == worker.consumer), None)


async def test_a_worker_says_what_it_is_and_what_it_does(house):
    busy = asyncio.Event()
    house.mail.do = lambda _payload, _context: busy.wait()
    await house.submit_one()
    worker = house.worker(concurrency=3)

    async def is_running():
        item = await listed(house, worker)
        return item if item and item.running else None

    item = await eventually(is_running)
    assert (item.queues, item.types, item.concurrency) == ((NAME,), (TYPE,), 3)
    assert item.running == 1
    assert 0 < item.started_at_ms <= item.last_poll_at_ms
    busy.set()

    async def is_idle():
        return (await listed(house, worker)).running == 0

    await eventually(is_idle)


async def test_it_says_it_again_and_again(house):
    worker = house.worker()
    first = await eventually(lambda: listed(house, worker))

    async def later():
        return (await listed(house, worker)).last_poll_at_ms > first.last_poll_at_ms

    await eventually(later)


async def test_a_new_queue_is_told_at_once(house, monkeypatch):
    monkeypatch.setattr(presence, "ANNOUNCE_EVERY_S", 3_600)
    worker = house.worker()
    await eventually(lambda: listed(house, worker))
    await worker.serve(QueueName("acme", "other"))

    async def has_both():
        return len((await listed(house, worker)).queues) == 2

    await eventually(has_both)


async def test_one_that_stops_knows_nothing_any_more_and_then_leaves(house):
    busy = asyncio.Event()
    house.mail.do = lambda _payload, _context: busy.wait()
    await house.submit_one()
    worker = house.worker()
    await eventually(lambda: house.mail.calls)
    await eventually(lambda: listed(house, worker))
    stopping = asyncio.create_task(house.stop(worker))

    async def knows_nothing():
        item = await listed(house, worker)
        return item is not None and item.types == ()

    await eventually(knows_nothing)
    busy.set()
    await stopping
    assert await listed(house, worker) is None


async def test_one_that_vanished_is_forgotten(house, monkeypatch):
    monkeypatch.setattr(presence, "LISTED_FOR_MS", 300)
    monkeypatch.setattr(presence, "ANNOUNCE_EVERY_S", 0.05)
    worker = house.worker()
    await eventually(lambda: listed(house, worker))
    await house.kill(worker)

    async def is_gone():
        return await listed(house, worker) is None

    await eventually(is_gone)
