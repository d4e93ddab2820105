"""What every command of an operator begins with: reach the stores, find the queues."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from app.errors import Unavailable, UnknownQueue
from app.ledger.ledger import Ledger
from app.names import QueueName

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


async def queues_of(ledger: Ledger, queue: str | None, tenant: str | None) -> list[QueueName]:
    """The queues that exist, of one name or tenant where these are given.

    Raises:
        UnknownQueue: none has the name asked for.
        Unavailable: the ledger is away.
    """
    found = [
        QueueName(each.tenant, each.queue)
        for each in await ledger.queues()
        if queue in (None, each.queue) and tenant in (None, each.tenant)
    ]
    if not found and (queue or tenant):
        wanted = f"{tenant or '*'}/{queue or '*'}"
        raise UnknownQueue(f"There is no queue {wanted}: the ledger knows none of that name.")
    return found
