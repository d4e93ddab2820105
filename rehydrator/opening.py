"""One opening of the source: what is in hand on it, and what was learnt since.

Everything here is void with the source, and with every generation it was learnt under.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from app.amqp.message import Copy, Unreadable
from app.errors import StaleGeneration, Unavailable
from app.lifecycle import cancel
from rehydrator.acting import Actions, Notes, nothing
from rehydrator.arrivals import Arrivals, Home, sort
from rehydrator.decision import UNKNOWN
from rehydrator.fence import Fences
from rehydrator.holdings import Held, Holdings, Suspect, held, parts
from rehydrator.look import look, look_in_ledger
from rehydrator.rate import Rate
from rehydrator.redis_queue import RedisQueue, RedisQueues, Stores
from rehydrator.refreshing import Refreshing
from rehydrator.source import CopiesLost, CopySource, Delivery

PART: Final = 500
"""Copies in one call to a store."""
BATCHES_IN_HAND: Final = 3
"""At a time, of a run: one is read while others wait for the ledger and Redis."""
AHEAD: Final = 2_000
"""Copies still to come when a run asks for more."""


class _Stream:
    """What the batches in hand at a time have in common."""

    def __init__(self) -> None:
        self.ended = False
        self.taken = 0
        self.growing: asyncio.Task[None] | None = None


def _raise_the_worst(results: Sequence[object]) -> None:
    """What voids the whole opening before what may be tried again."""
    errors = [each for each in results if isinstance(each, BaseException)]
    for error in errors:
        if isinstance(error, CopiesLost | StaleGeneration) or not isinstance(error, Unavailable):
            raise error
    for error in errors:
        raise error


def every_copy(_copy: Copy) -> bool:
    """Wants all of them."""
    return True


class Opening:
    """A source and the copies in hand.

    ``wanted``: which copies are looked at at all; ``holds_back``: of which queues nothing may be
    restored; ``once``: each copy is looked at once, none is held to be looked at again.
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
        once: bool = False,
        holds_back: Callable[[RedisQueue], bool] = nothing,
    ) -> None:
        settings = stores.settings
        self.source = source
        self.holdings = Holdings(once=once)
        self.fences = Fences(stores.publisher, queue, stores.crashes)
        self._stores = stores
        self._queue = queue
        self._queues = queues
        self._wanted = wanted
        self._dry = dry
        rate = rate or Rate()
        # Nobody else may say no to a restore: then Redis needs no look of its own before. Where
        # restores wait for their turn only those may that are none of tasks which are there.
        self._at_once = once and not (dry or rate.is_limited)
        self._home = Home(settings.env, stores.ledger.identity, settings.adopt_ledger)
        self._actions = Actions(
            stores, source, self.holdings, notes, rate, dry=dry, holds_back=holds_back
        )
        self._refreshing = Refreshing(stores, source, self.holdings)
        self._must_catch_up = False
        self._before_fence = 0
        self._taking = asyncio.Lock()

    @property
    def fence_passed(self) -> bool:
        """Whether the fence was received and all received before it looked at to the end."""
        return self._fence_received and self.holdings.settled

    @property
    def _fence_received(self) -> bool:
        return self.fences.seen and not self._must_catch_up and self._before_fence <= 0

    async def take(self, max_n: int, wait_ms: int) -> int:
        """Bring in what has arrived; returns how many messages that were.

        Raises:
            CopiesLost: the source has ended.
            Fatal: a copy belongs to another system.
            Unavailable: the broker is away.
        """
        taken, _ = await self._take(max_n, wait_ms)
        return taken

    async def take_and_look(self, max_n: int, wait_ms: int, looked: Callable[[], None]) -> int:
        """``take`` and ``look`` at once, asking the ledger about everything, until nothing comes.

        Several batches are in hand at a time; ``looked`` is called after each that was looked at to
        its end. Ends also behind the fence, and where a store gives no answer. Returns how many
        messages came.

        Raises:
            As ``take`` and ``look`` do; what was not looked at stays new.
        """
        stream = _Stream()

        async def work() -> None:
            while not stream.ended and (copies := await self._next(stream, max_n, wait_ms)):
                answered = await self._look_at(copies, ask_all=True)
                await self._actions.clear_suspects()
                if answered:
                    looked()
                else:
                    stream.ended = True

        async def until_it_fails() -> None:
            try:
                await work()
            except BaseException:
                stream.ended = True
                raise

        try:
            ended: list[object] = await asyncio.gather(
                *(until_it_fails() for _ in range(BATCHES_IN_HAND)), return_exceptions=True
            )
            if stream.growing is not None:
                ended += await asyncio.gather(stream.growing, return_exceptions=True)
        finally:
            if stream.growing is not None:
                await cancel(stream.growing)
        _raise_the_worst(ended)
        return stream.taken

    async def _next(self, stream: _Stream, max_n: int, wait_ms: int) -> Sequence[Held]:
        """The next batch with copies in it; none: the stream has ended."""
        async with self._taking:
            while not stream.ended:
                if self._fence_received:
                    break
                self._reach_ahead(stream)
                taken, copies = await self._take(max_n, wait_ms)
                stream.taken += taken
                if copies:
                    return copies
                if not taken:
                    break
                if self.holdings.suspects:
                    await self._actions.clear_suspects()
            stream.ended = True
        return ()

    async def _take(self, max_n: int, wait_ms: int) -> tuple[int, list[Held]]:
        deliveries = await self.source.batch(max_n, wait_ms)
        if deliveries:
            self._stores.crashes.reach("rehydrator.after_receive")
            self.fences.moved()
        arrivals = sort(deliveries, self._home)
        copies = self._take_in(arrivals)
        self._before_fence -= len(deliveries)
        await self._pass_fences(arrivals)
        if self._must_catch_up:
            self._before_fence = await self.source.catch_up()
            self._must_catch_up = False
        return len(deliveries), copies

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
            at_once = ask_all and self._at_once
            rest = await self._restore_at_once(part) if at_once else part
            verdicts = await look(self._stores.ledger, rest, ask_all=ask_all)
            await self._actions.act(rest, verdicts)
            if UNKNOWN in verdicts:
                # The ledger is away: not to wait for its deadline with each part.
                return False
        return True

    async def _restore_at_once(self, copies: Sequence[Held]) -> Sequence[Held]:
        """Bring back what by the ledger's word may not go; returns the others."""
        verdicts = await look_in_ledger(self._stores.ledger, copies)
        await self._actions.act(
            [copy for copy, verdict in zip(copies, verdicts, strict=True) if verdict is not None],
            [verdict for verdict in verdicts if verdict is not None],
        )
        return [copy for copy, verdict in zip(copies, verdicts, strict=True) if verdict is None]

    async def reach_for_fence(self) -> None:
        """Widen a full window behind which the fence may lie, once all of it was looked at.

        Raises:
            Unavailable: the broker is away.
        """
        source = self.source
        full = source.held >= source.window and not source.waiting
        if self.fences.waiting and full and self.holdings.settled:
            await source.grow()

    def _reach_ahead(self, stream: _Stream) -> None:
        """Widen the window before it is full: what is in it is looked at meanwhile."""
        if stream.growing is not None:
            if not stream.growing.done():
                return
            stream.growing.result()
            stream.growing = None
        source = self.source
        nearly_full = source.held >= source.window - min(AHEAD, source.window // 2)
        if self.fences.waiting and nearly_full:
            stream.growing = asyncio.create_task(source.grow(), name="grow")

    async def publish_fence(self) -> None:
        """Put a fence behind all that is in the queue now, for every queue known in Redis.

        Raises:
            Fatal: Redis remembers another ledger.
            Unavailable: Redis is away.
        """
        await self.fences.publish(await self._tokens())

    @asynccontextmanager
    async def publishing_fence(self) -> AsyncIterator[None]:
        """``publish_fence``, but its confirm comes while copies are looked at already.

        The broker, busy with delivering, takes its time; the tokens are read before.

        Raises:
            As ``publish_fence`` does.
        """
        tokens = await self._tokens()
        publishing = asyncio.create_task(self.fences.publish(tokens), name="fence")
        try:
            yield
            await publishing
        finally:
            await cancel(publishing)

    async def _tokens(self) -> dict[RedisQueue, str]:
        return {each: await each.session.token() for each in self._queues}

    async def close(self) -> bool:
        """Give everything back; whether it was seen ready in the queue."""
        return await self.source.hand_back()

    def _take_in(self, arrivals: Arrivals) -> list[Held]:
        now_s = time.monotonic()
        copies = []
        queue: RedisQueue | None = None
        for delivery, copy in arrivals.copies:
            if not self._wanted(copy):
                continue
            envelope = copy.envelope
            # Mostly they are of one: its name is not made for each.
            if queue is None or queue.name != (envelope.tenant, envelope.queue):
                queue = self._queues.of(envelope.queue_name)
            copies.append(held(delivery, copy, queue, now_s))
        for each in copies:
            self.holdings.add(each)
        for delivery, message in arrivals.unreadable:
            self.holdings.suspect(self._suspect(delivery, message))
        return copies

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
