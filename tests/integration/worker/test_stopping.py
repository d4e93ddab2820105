"""How running handlers are told to end, and what becomes of their tasks."""

import asyncio
import threading
import time

import pytest

from app.registry import TaskRegistry
from tests.integration.worker.house import TYPE, Payload
from tests.support.envelopes import envelope
from tests.support.eventually import eventually


class Thread:
    """A ``def`` handler that runs until the test lets it, or until it is told to end."""

    def __init__(self, *, heeds=True):
        self.calls, self.told, self.ended = [], [], []
        self.go_on = threading.Event()
        self._heeds = heeds

    def registry(self):
        registry = TaskRegistry()

        @registry.task(TYPE, payload=Payload)
        def send(payload, context):
            self.calls.append(context.attempt)
            try:
                while not self.go_on.wait(0.01):
                    if context.cancelled and not self.told:
                        self.told.append(time.monotonic())
                    if self._heeds:
                        context.check()
                return context.attempt
            finally:
                self.ended.append(context.attempt)

        return registry


@pytest.fixture
def thread():
    thread = Thread()
    yield thread
    thread.go_on.set()


@pytest.fixture
def stubborn():
    thread = Thread(heeds=False)
    yield thread
    thread.go_on.set()


async def test_a_thread_is_told_that_its_task_is_cancelled(house, thread):
    await house.submit_one(timeoutMs=60_000)
    house.worker(registry=thread.registry(), lease_ms=500)
    await eventually(lambda: thread.calls)
    await house.intake.mark_cancel(await house.token(), "a")
    record = await house.ends(state="cancelled")
    await eventually(lambda: thread.ended)
    assert thread.told
    assert [each.outcome for each in record.attempts] == ["cancelled"]


async def test_what_a_cancelled_thread_returns_is_dropped(house, stubborn):
    await house.submit_one(timeoutMs=60_000)
    house.worker(registry=stubborn.registry(), lease_ms=500)
    await eventually(lambda: stubborn.calls)
    await house.intake.mark_cancel(await house.token(), "a")
    await house.ends(state="cancelled")
    stubborn.go_on.set()
    await eventually(lambda: stubborn.ended)
    await house.submit_one("b")
    await house.ends("b", "succeeded")
    assert (await house.finished()).state == "cancelled"


async def test_a_cancel_reaches_its_handler_at_once(house):
    """Not only when the lease is renewed next, in ten minutes."""
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)
    await house.submit(envelope("a", timeoutMs=60_000), envelope("b", timeoutMs=60_000))
    house.worker(lease_ms=3_600_000)
    await eventually(lambda: len(house.mail.calls) == 2)

    async def is_stopped():
        # Again each time: the worker may not listen yet.
        await house.intake.mark_cancel(await house.token(), "a")
        return house.mail.cancelled

    await eventually(is_stopped)
    await house.ends("a", state="cancelled")
    assert house.mail.cancelled == ["a"]
    assert await house.is_state("b", "running")


async def test_a_thread_is_told_that_its_time_is_over(house, thread):
    await house.submit_one(timeoutMs=100, retry={"maxAttempts": 1})
    house.worker(registry=thread.registry())
    record = await house.ends(state="dead")
    assert record.attempts[0].outcome == "timeout"
    await eventually(lambda: thread.ended)
    assert thread.told


async def test_threads_that_never_end_do_not_hold_up_the_next_task(house, stubborn):
    for n in range(2):
        await house.submit_one(f"stuck-{n}", timeoutMs=100, retry={"maxAttempts": 1})
    house.worker(registry=stubborn.registry(), concurrency=2)
    for n in range(2):
        await house.ends(f"stuck-{n}", "dead")
    await house.submit_one("next", timeoutMs=100, retry={"maxAttempts": 1})
    await eventually(lambda: len(stubborn.calls) == 3)


async def test_a_thread_that_ends_in_time_when_its_worker_stops_is_settled(house, stubborn):
    await house.submit_one()
    worker = house.worker(registry=stubborn.registry(), grace_ms=0)
    await eventually(lambda: stubborn.calls)
    stopping = asyncio.create_task(house.stop(worker))
    await eventually(lambda: stubborn.told)
    stubborn.go_on.set()
    await stopping
    assert (await house.finished()).state == "succeeded"


async def test_a_thread_that_heeds_its_stopping_worker_is_given_back(house, thread):
    await house.submit_one()
    worker = house.worker(registry=thread.registry(), grace_ms=0)
    await eventually(lambda: thread.calls)
    await house.stop(worker)
    assert thread.ended == [1]
    assert await house.is_state("a", "queued")
    house.worker()
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]
    assert [each.outcome for each in record.attempts] == ["given_back", "succeeded"]


async def test_a_handler_that_fails_because_it_is_stopped_is_given_back(house):
    async def clumsy(payload, context):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ConnectionError("closed under my feet") from None

    house.mail.do = clumsy
    await house.submit_one(retry={"maxAttempts": 1})
    worker = house.worker(grace_ms=0)
    await eventually(lambda: house.mail.calls)
    await house.stop(worker)
    assert await house.is_state("a", "queued")
    assert await house.finished() is None


async def test_in_a_hurry_nothing_is_waited_for(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)
    await house.submit_one()
    worker = house.worker(grace_ms=3_600_000)
    await eventually(lambda: house.mail.calls)
    stopping = asyncio.create_task(house.stop(worker))
    await eventually(lambda: worker._is_stopping)
    worker.hurry()
    await asyncio.wait_for(stopping, 60)
    assert await house.is_state("a", "queued")


async def test_what_was_not_started_is_given_back_before_the_running_ones_end(house):
    busy = asyncio.Event()
    house.mail.do = lambda _payload, _context: busy.wait()
    await house.submit_one("running")
    worker = house.worker(grace_ms=20_000)
    await eventually(lambda: house.mail.calls)
    house.ledger.away = True
    await house.submit_one("asked", fresh=False)
    await eventually(lambda: worker.slots.held == 2)
    stopping = asyncio.create_task(house.stop(worker))

    async def is_free():
        pending = await house.raw.xpending_range(house.keys.lanes[1], "workers", "-", "+", 10)
        return len(pending) == 1

    await eventually(is_free)
    assert not stopping.done()
    house.ledger.away = False
    busy.set()
    await stopping
    assert (await house.finished("running")).state == "succeeded"
    assert await house.is_state("asked", "queued")


async def test_a_retry_given_back_keeps_what_it_had_used_up(house):
    house.mail.do = lambda _payload, context: asyncio.sleep(60) if context.attempt == 2 else _fail()
    await house.submit_one(retry={"delaysMs": [1], "jitter": 0})
    worker = house.worker(grace_ms=0)
    await eventually(lambda: ("a", 1, 2) in house.mail.calls)
    await house.stop(worker)
    part = (await house.record()).open
    assert (part.attempt, part.phase) == (1, "failed")
    await house.wipe()
    await house.restore(envelope(retry={"delaysMs": [1], "jitter": 0}))
    house.mail.do = lambda _payload, _context: None
    house.worker()
    record = await house.ends(state="succeeded")
    assert record.finished.attempt == 2
    assert [each.outcome for each in record.attempts] == ["failed", "given_back", "succeeded"]


def _fail():
    raise RuntimeError("no")


async def test_a_suspect_given_back_before_it_ran_has_used_nothing_up(house):
    """The ledger has its attempt as started already."""
    reached, stopped = asyncio.Event(), asyncio.Event()

    async def hold(writes):
        reached.set()
        await house.ledger._inner.record_open(writes)
        await stopped.wait()

    assert await house.restore(envelope(retry={"maxAttempts": 1})) == "restored"
    house.ledger.before["record_open"] = hold
    worker = house.worker(grace_ms=0)
    await reached.wait()
    stopping = asyncio.create_task(house.stop(worker))
    await eventually(lambda: worker._is_stopping)
    house.ledger.before.clear()
    await stopping
    assert house.mail.calls == []
    house.worker()
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]
    assert [each.outcome for each in record.attempts] == ["succeeded"]


async def test_one_whose_canceller_has_settled_it_is_stopped_and_no_lease_is_lost(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)
    await house.submit_one(timeoutMs=60_000)
    worker = house.worker(lease_ms=500)
    await eventually(lambda: house.mail.calls)
    await house.cancel()
    await eventually(lambda: house.mail.cancelled == ["a"])
    await eventually(lambda: worker.slots.held == 0)
    assert house.metric("lease_lost_total") == 0
    assert (await house.finished()).state == "cancelled"
