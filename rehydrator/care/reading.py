"""Reading every copy of a mirror queue once, holding them all: they go back with the source."""

import time
from collections.abc import AsyncIterator
from typing import Final

from rehydrator.arrivals import Arrivals, Home, sort
from rehydrator.fence import Fences
from rehydrator.redis_queue import Stores
from rehydrator.run import Incomplete
from rehydrator.source import CopySource

BATCH: Final = 500
WAIT_MS: Final = 200


async def read_copies(
    stores: Stores, source: CopySource, queue: str, stalled_s: float
) -> AsyncIterator[Arrivals]:
    """What lies in the queue up to a fence of our own, batch by batch; the fence alone is acked.

    Raises:
        CopiesLost: the source has ended.
        Fatal: a copy belongs to another system.
        Incomplete: nothing came for ``stalled_s``, not even the fence.
        Unavailable: the broker is away.
    """
    settings = stores.settings
    home = Home(settings.env, stores.ledger.identity, settings.adopt_ledger)
    fences = Fences(stores.publisher, queue)
    await fences.publish({})
    ahead: int | None = None
    moved_s = time.monotonic()
    while ahead is None or ahead > 0:
        deliveries = await source.batch(BATCH, WAIT_MS)
        if deliveries:
            moved_s = time.monotonic()
            fences.moved()
        arrivals = sort(deliveries, home)
        own = [delivery for delivery, fence in arrivals.fences if fences.note(fence.run_id)]
        yield arrivals
        if ahead is not None:
            ahead -= len(deliveries)
        if own:
            await source.ack(own)
            # Channels overtake each other: what lay before the fence may still be on its way.
            ahead = await source.catch_up()
        elif fences.waiting and source.held >= source.window and not source.waiting:
            await source.grow()
        if fences.overdue:
            await fences.publish({})
        if time.monotonic() - moved_s > stalled_s:
            raise Incomplete(
                f"RabbitMQ takes or brings no fence of queue {queue}: has it an alarm? Run this"
                " again when it is over."
            )
