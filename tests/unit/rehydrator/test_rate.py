"""A rate holds for all who share it."""

import asyncio

from rehydrator import rate as module
from rehydrator.rate import Rate


async def test_two_who_ask_at_once_are_as_slow_together_as_one(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(round(seconds, 3))
        await pause(0)

    pause = asyncio.sleep
    monkeypatch.setattr(module.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    rate = Rate(10)

    async def use(items):
        return [part async for part in rate.parts(items)]

    found = await asyncio.gather(use("ab"), use("cd"))
    assert found == [["a", "b"], ["c", "d"]]
    assert sorted(waited) == [0.0, 0.1, 0.2, 0.3]


async def test_without_a_rate_all_pass_at_once():
    assert [part async for part in Rate().parts("abc")] == ["abc"]
