"""The deadline of a call: whatever its stores do, it is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.api.errors import TooSlow


@asynccontextmanager
async def within(seconds: float, task_id: str = "") -> AsyncIterator[None]:
    """Raise ``TooSlow`` when the time is over; ``task_id``: what may have been accepted."""
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            yield
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise TooSlow(
            f"No answer within {seconds:.0f} s. What was asked may have happened or not: repeat it"
            " under the same id.",
            task_id,
        ) from error
