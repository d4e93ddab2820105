"""Starting, waiting, stopping: one sentence while waiting, and no process that limps on."""

import asyncio
import logging
import os
import signal

import pytest

from app import lifecycle
from app.errors import LedgerMismatch, Unavailable
from app.lifecycle import asked_to_stop, cancel, run_until_stopped, wait_for


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(lifecycle, "RETRY_EVERY_S", 0)


def failing(times, error=None):
    left = [times]

    async def attempt():
        if left[0]:
            left[0] -= 1
            raise error or Unavailable("redis", "connection refused")
        return "answer"

    return attempt


async def within(awaitable):
    async with asyncio.timeout(10):
        return await awaitable


async def test_an_answer_at_once_says_nothing(caplog):
    caplog.set_level(logging.DEBUG)
    assert await within(wait_for("Redis at redis://x", failing(0))) == "answer"
    assert caplog.messages == []


async def test_it_says_once_what_it_waits_for_and_that_it_came(caplog):
    caplog.set_level(logging.DEBUG)
    assert await within(wait_for("Redis at redis://x", failing(5))) == "answer"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "Waiting for Redis at redis://x (connection refused); trying again every second.",
        ),
        ("INFO", "Reached Redis at redis://x."),
    ]


async def test_it_reminds_now_and_then(caplog):
    await within(wait_for("Redis", failing(lifecycle.REMIND_EVERY * 2 + 1)))
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 3


async def test_what_waiting_does_not_mend_is_raised():
    with pytest.raises(LedgerMismatch):
        await within(wait_for("the ledger", failing(1, LedgerMismatch("another"))))


class Loop:
    """A loop that notes how it ended."""

    def __init__(self):
        self.ended = None
        self.running = asyncio.Event()

    async def run(self):
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.ended = "cancelled"
            raise


async def fails(error, after):
    await after.wait()
    raise error


@pytest.mark.parametrize("error", [ValueError("broken"), LedgerMismatch("another ledger")])
async def test_a_loop_that_fails_ends_the_others_and_is_raised(error):
    other = Loop()
    with pytest.raises(type(error), match=str(error)):
        await within(run_until_stopped(other.run(), fails(error, other.running)))
    assert other.ended == "cancelled"


async def test_a_loop_that_just_ends_ends_the_others():
    other = Loop()
    await within(run_until_stopped(other.run(), other.running.wait()))
    assert other.ended == "cancelled"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_every_loop(number):
    loops = [Loop(), Loop()]
    running = asyncio.create_task(run_until_stopped(*(loop.run() for loop in loops)))
    for loop in loops:
        await within(loop.running.wait())
    os.kill(os.getpid(), number)
    await within(running)
    assert [loop.ended for loop in loops] == ["cancelled", "cancelled"]
    assert not asyncio.get_running_loop().remove_signal_handler(number)


async def test_cancelling_the_whole_cancels_every_loop():
    loop = Loop()
    running = asyncio.create_task(run_until_stopped(loop.run()))
    await within(loop.running.wait())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(running)
    assert loop.ended == "cancelled"


async def test_a_loop_that_fails_while_it_is_stopped_does_not_hide_the_first_error():
    started = asyncio.Event()

    async def bad_end():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("second")

    with pytest.raises(ValueError, match="first"):
        await within(run_until_stopped(bad_end(), fails(ValueError("first"), started)))


async def test_cancel_waits_until_they_are_gone():
    loop = Loop()
    task = asyncio.create_task(loop.run())
    await within(loop.running.wait())
    await within(cancel(task))
    assert task.done()
    assert loop.ended == "cancelled"
    await within(cancel())


async def test_asked_to_stop_tells_a_cancellation_from_a_lost_connection():
    seen = []

    async def lost():
        connection = asyncio.get_running_loop().create_future()
        connection.cancel()
        try:
            await connection
        except asyncio.CancelledError:
            seen.append(asked_to_stop())

    async def stopped():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(asked_to_stop())
            raise

    await lost()
    task = asyncio.create_task(stopped())
    await asyncio.sleep(0)
    await cancel(task)
    assert seen == [False, True]
