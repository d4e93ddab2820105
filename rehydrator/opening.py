"""One opening of the source: what is in hand on it, and what was learnt since.

Everything here is void with the source, and with every generation it was learnt under.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from app.amqp.message import Copy, Unreadable
from rehydrator.acting import Actions, Notes, nothing
from rehydrator.arrivals import Arrivals, Home, sort
from rehydrator.decision import UNKNOWN
from rehydrator.fence import Fences
from rehydrator.holdings import Held, Holdings, Suspect, held, parts
from rehydrator.look import look
from rehydrator.rate import Rate
from rehydrator.redis_queue import RedisQueue, RedisQueues, Stores
from rehydrator.refreshing import Refreshing
from rehydrator.source import CopySource, Delivery

PART: Final = 500
"""Copies in one call to a store."""


def every_copy(_copy: Copy) -> bool:
    """Wants all of them."""
    return True


class Opening:
    """A source and the copies in hand.

    ``wanted``: which copies are looked at at all; ``holds_back``: of which queues nothing may be
    restored.
    """

    def __init__(
        self,
        stores: Stores,
        queue: str,
        queues: RedisQueues,
        source: CopySource,
        notes: Notes,
        *,
        wanted: Callable[[Copy], bool] = every_copy,
        rate: Rate | None = None,
        dry: bool = False,
        holds_back: Callable[[RedisQueue], bool] = nothing,
    ) -> None:
        settings = stores.settings
        self.source = source
        self.holdings = Holdings()
        self.fences = Fences(stores.publisher, queue)
        self._stores = stores
        self._queue = queue
        self._queues = queues
        self._wanted = wanted
        self._dry = dry
        self._home = Home(settings.env, stores.ledger.identity, settings.adopt_ledger)
        self._actions = Actions(
            stores, source, self.holdings, notes, rate or Rate(), dry=dry, holds_back=holds_back
        )
        self._refreshing = Refreshing(stores, source, self.holdings)
        self._must_catch_up = False
        self._before_fence = 0

    @property
    def fence_passed(self) -> bool:
        """Whether the fence was received and all received before it looked at to the end."""
        return (
            self.fences.seen
            and not self._must_catch_up
            and self._before_fence <= 0
            and self.holdings.settled
        )

    async def take(self, max_n: int, wait_ms: int) -> int:
        """Bring in what has arrived; returns how many messages that were.

        Raises:
            CopiesLost: the source has ended.
            Fatal: a copy belongs to another system.
            Unavailable: the broker is away.
        """
        deliveries = await self.source.batch(max_n, wait_ms)
        if deliveries:
            self.fences.moved()
        arrivals = sort(deliveries, self._home)
        self._take_in(arrivals)
        self._before_fence -= len(deliveries)
        await self._pass_fences(arrivals)
        if self._must_catch_up:
            self._before_fence = await self.source.catch_up()
            self._must_catch_up = False
        return len(deliveries)

    async def look(self, *, ask_all: bool) -> None:
        """Look at what is new, and put suspects away.

        Raises:
            StaleGeneration: Redis has another history; this opening must end.
            Unavailable: a store is away; what was not looked at stays new.
        """
        await self._look_at(self.holdings.new, ask_all=ask_all)
        await self._actions.clear_suspects()

    async def sweep(self, *, ask_all: bool) -> bool:
        """Look again at what is held, and refresh what has lain too long.

        False: the ledger, where it was needed, gave no answer.

        Raises:
            BodiesNeeded, StaleGeneration: this opening must end.
            Unavailable: a store is away.
        """
        answered = await self._look_at(self.holdings.held, ask_all=ask_all)
        await self._refreshing.step()
        return answered

    async def _look_at(self, copies: Sequence[Held], *, ask_all: bool) -> bool:
        for part in parts(copies, PART):
            verdicts = await look(self._stores.ledger, part, ask_all=ask_all)
            await self._actions.act(part, verdicts)
            if UNKNOWN in verdicts:
                # The ledger is away: not to wait for its deadline with each part.
                return False
        return True

    async def reach_for_fence(self) -> None:
        """Widen a full window behind which the fence may lie.

        Raises:
            Unavailable: the broker is away.
        """
        source = self.source
        full = source.held >= source.window and not source.waiting
        if self.fences.waiting and full and self.holdings.settled:
            await source.grow()

    async def publish_fence(self) -> None:
        """Put a fence behind all that is in the queue now, for every queue known in Redis.

        Raises:
            Fatal: Redis remembers another ledger.
            Unavailable: Redis is away.
        """
        await self.fences.publish({each: await each.session.token() for each in self._queues})

    async def close(self) -> bool:
        """Give everything back; whether it was seen ready in the queue."""
        return await self.source.hand_back()

    def _take_in(self, arrivals: Arrivals) -> None:
        now_s = time.monotonic()
        for delivery, copy in arrivals.copies:
            if self._wanted(copy):
                queue = self._queues.of(copy.envelope.queue_name)
                self.holdings.add(held(delivery, copy, queue, now_s))
        for delivery, message in arrivals.unreadable:
            self.holdings.suspect(self._suspect(delivery, message))

    async def _pass_fences(self, arrivals: Arrivals) -> None:
        own = [delivery for delivery, fence in arrivals.fences if self.fences.note(fence.run_id)]
        if own:
            self._must_catch_up = self.source.lanes > 1
        gone = own if self._dry else [delivery for delivery, _ in arrivals.fences]
        await self.source.ack(gone)

    def _suspect(self, delivery: Delivery, message: Unreadable) -> Suspect:
        return Suspect(
            delivery=delivery,
            reason=message.reason,
            detail=message.detail,
            tenant=message.tenant,
            queue=message.queue or self._queue,
            task_id=message.task_id,
        )
