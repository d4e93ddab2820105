"""Reaching the stores at the start of a command, which does not wait for ever."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from app.errors import Unavailable

log = logging.getLogger(__name__)

POLL_S: Final = 0.2


async def reach(within_s: float, *attempts: Callable[[], Awaitable[None]]) -> None:
    """Repeat each attempt until it answers.

    Raises:
        Unavailable: a store did not answer within ``within_s``.
    """
    deadline_s = time.monotonic() + within_s
    for attempt in attempts:
        warned = False
        while True:
            try:
                await attempt()
                break
            except Unavailable as error:
                if time.monotonic() > deadline_s:
                    raise
                if not warned:
                    log.warning("Waiting: %s", error)
                warned = True
                await asyncio.sleep(POLL_S)
