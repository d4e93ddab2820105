"""Natural batching: what waits together travels together, and nobody waits for ever."""

import asyncio

import pytest

from app.gather import Gatherer


class Calls:
    """A flush that records its batches and answers when let through."""

    def __init__(self):
        self.batches = []
        self.open = asyncio.Event()
        self.open.set()
        self.at_once = self.most_at_once = 0

    async def __call__(self, items):
        self.batches.append(list(items))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.open.wait()
        self.at_once -= 1
        return [item * 10 for item in items]


async def within(awaitable):
    """A hang is what these tests look for."""
    async with asyncio.timeout(5):
        return await awaitable


async def turns(n=5):
    for _ in range(n):
        await asyncio.sleep(0)


async def test_what_is_ready_together_is_one_call():
    calls = Calls()
    gatherer = Gatherer(calls, max_items=100)
    answers = await within(asyncio.gather(*(gatherer.add(i) for i in range(100))))
    assert answers == [i * 10 for i in range(100)]
    assert calls.batches == [list(range(100))]


async def test_one_after_the_other_never_hangs():
    calls = Calls()
    gatherer = Gatherer(calls, max_items=10)

    async def one_by_one():
        return [await gatherer.add(i) for i in range(20)]

    assert await within(one_by_one()) == [i * 10 for i in range(20)]
    assert calls.batches == [[i] for i in range(20)]


async def test_no_batch_is_larger_than_allowed():
    calls = Calls()
    gatherer = Gatherer(calls, max_items=7)
    await within(asyncio.gather(*(gatherer.add(i) for i in range(50))))
    assert max(map(len, calls.batches)) == 7
    assert [item for batch in calls.batches for item in batch] == list(range(50))


async def test_what_comes_during_a_call_goes_into_the_next():
    calls = Calls()
    calls.open.clear()
    gatherer = Gatherer(calls, max_items=100)
    first = asyncio.create_task(gatherer.add(1))
    await turns()
    rest = [asyncio.create_task(gatherer.add(i)) for i in (2, 3, 4)]
    await turns()
    assert calls.batches == [[1]]
    calls.open.set()
    assert await within(asyncio.gather(first, *rest)) == [10, 20, 30, 40]
    assert calls.batches == [[1], [2, 3, 4]]


@pytest.mark.parametrize("lanes", [1, 3])
async def test_no_more_calls_at_a_time_than_lanes(lanes):
    calls = Calls()
    calls.open.clear()
    gatherer = Gatherer(calls, max_items=1, lanes=lanes)
    tasks = [asyncio.create_task(gatherer.add(i)) for i in range(10)]
    await turns(20)
    assert calls.at_once == lanes
    calls.open.set()
    assert await within(asyncio.gather(*tasks)) == [i * 10 for i in range(10)]
    assert calls.most_at_once == lanes


async def test_an_error_reaches_everybody_in_the_batch_and_nobody_else():
    async def flush(items):
        if 3 in items:
            raise ValueError("no threes")
        return items

    gatherer = Gatherer(flush, max_items=4)
    answers = await within(
        asyncio.gather(*(gatherer.add(i) for i in range(8)), return_exceptions=True)
    )
    assert [str(answer) for answer in answers[:4]] == ["no threes"] * 4
    assert answers[4:] == [4, 5, 6, 7]


async def test_a_call_with_too_few_answers_fails_everybody():
    async def flush(items):
        return items[:-1]

    gatherer = Gatherer(flush, max_items=10)
    answers = await within(
        asyncio.gather(*(gatherer.add(i) for i in range(3)), return_exceptions=True)
    )
    assert [type(answer) for answer in answers] == [ValueError] * 3


async def test_a_waiter_that_leaves_disturbs_nobody():
    calls = Calls()
    calls.open.clear()
    gatherer = Gatherer(calls, max_items=10)
    tasks = [asyncio.create_task(gatherer.add(i)) for i in range(3)]
    await turns()
    tasks[1].cancel()
    calls.open.set()
    answers = await within(asyncio.gather(*tasks, return_exceptions=True))
    assert answers[0] == 0
    assert isinstance(answers[1], asyncio.CancelledError)
    assert answers[2] == 20


async def test_a_cancellation_inside_a_call_is_no_cancellation_of_the_waiters():
    calls = []

    async def flush(items):
        calls.append(items)
        # What aio-pika does on a dead connection.
        raise asyncio.CancelledError

    gatherer = Gatherer(flush, max_items=1)
    answers = await within(
        asyncio.gather(*(gatherer.add(i) for i in range(3)), return_exceptions=True)
    )
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    # And it works again afterwards.
    with pytest.raises(ConnectionError):
        await within(gatherer.add(9))
    assert calls[-1] == [9]


async def test_many_askers_in_a_loop_are_all_answered():
    calls = Calls()
    gatherer = Gatherer(calls, max_items=5, lanes=2)

    async def asker(first):
        return [await gatherer.add(first + i) for i in range(30)]

    answers = await within(asyncio.gather(*(asyncio.create_task(asker(n)) for n in range(20))))
    assert answers == [[(n + i) * 10 for i in range(30)] for n in range(20)]
