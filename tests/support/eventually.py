"""Waiting in tests: for a condition, with a deadline, never a fixed time."""

import asyncio
import inspect
import time

WITHIN_S = 30.0
"""Longer than anything takes on two busy cores; only a test that fails waits so long."""


async def eventually(condition, within_s=WITHIN_S, every_s=0.02):
    """Poll until ``condition()`` (sync or async) is truthy; its value. Fails after the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {condition}")
        await asyncio.sleep(every_s)
