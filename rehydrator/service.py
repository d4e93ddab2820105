"""The standing rehydrator of one mirror queue: hold, retire, restore, refresh, all the time.

Level-triggered: it looks at states again and again, so a lost event delays and never harms.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from app.errors import StaleGeneration, Unavailable
from app.lifecycle import cancel
from app.metrics import Metrics
from app.names import QueueName, TaskKey, is_queue
from mirror.topology import Topology
from rehydrator.acting import BodiesNeeded
from rehydrator.lease import Lease, queue_lease
from rehydrator.opening import Opening
from rehydrator.redis_queue import RedisQueue, RedisQueues, Stores
from rehydrator.source import CopiesLost, CopySource
from rehydrator.watching import LossWatch

log = logging.getLogger(__name__)

BATCH: Final = 500
REMIND_EVERY: Final = 30


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is done; seconds."""

    sweep_s: float = 0.3
    """Between two looks at everything held, at the least."""
    share: float = 5.0
    """And at least so many times as long as a look took: a sixth of the time is enough."""
    sweep_max_s: float = 10.0
    ask_all_s: float = 30.0
    """The ledger is asked about everything held, also where Redis has the task."""
    check_s: float = 1.0
    """Redis is asked whether its history is the same, and how far it got."""
    retry_s: float = 1.0
    lease_s: float = 1.0
    operator_away_s: float = 300.0
    """After a person closed the connection, to work on the queue by hand."""


class LossFound(Exception):
    """Something was lost within the generation: what is held was judged before."""


class Counted:
    """Counts for the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def note(self, keys: Sequence[TaskKey], outcome: str) -> None:
        """See ``Notes``."""
        for (given_tenant, given_queue), count in Counter(key[:2] for key in keys).items():
            # What a broken message claims must not become a label of its own.
            tenant = given_tenant if is_queue(given_tenant) else "unknown"
            queue = given_queue if is_queue(given_queue) else "unknown"
            self._metrics.rehydrate_tasks.labels(tenant, queue, outcome).inc(count)
            if outcome in ("finished", "cancelled", "expired"):
                self._metrics.copies_retired.labels(tenant, queue).inc(count)


class QueueService:
    """Serves one mirror queue while it holds its lease."""

    def __init__(
        self, stores: Stores, topology: Topology, queue: str, pace: Pace | None = None
    ) -> None:
        self._stores = stores
        self._topology = topology
        self._queue = queue
        self._pace = pace or Pace()
        self._queues = RedisQueues(stores)
        settings = stores.settings
        self._lease = Lease(stores.ledger, queue_lease(queue), settings.rehydrator_lease_ms)
        self._away_until_s = 0.0
        self._failures = 0
        self._sweep_at_s = self._ask_at_s = self._check_at_s = 0.0
        self._watch = LossWatch(stores)

    def meet(self, name: QueueName) -> None:
        """Watch this queue in Redis too: it may have lost everything."""
        self._queues.of(name)

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            Fatal: a store is not the one it must be.
        """
        while True:
            # The ledger tells nobody when a lease is free: it must be asked.
            while not await self._lease.acquire():  # noqa: ASYNC110
                await asyncio.sleep(self._pace.lease_s)
            self._stores.crashes.reach("rehydrator.after_lease")
            self._watch.forget()
            async with self._lease.kept(yields=True):
                await self._serve_while_leased()
            # Whoever wanted the lease comes first.
            await asyncio.sleep(2 * self._pace.lease_s)

    async def _serve_while_leased(self) -> None:
        serving = asyncio.create_task(self._serve(), name=f"rehydrator {self._queue}")
        ended = asyncio.create_task(self._lease.ended.wait())
        try:
            await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed = serving.done()
            await cancel(serving, ended)
        if failed:
            serving.result()

    async def _serve(self) -> None:
        while True:
            # An operator works on the queue by hand.
            await asyncio.sleep(max(0.0, self._away_until_s - time.monotonic()))
            try:
                opening = await self._open()
            except Unavailable as error:
                await self._failed("open the copies of", error)
                continue
            try:
                await self._work(opening)
            except BodiesNeeded as needed:
                await self._missed(needed.lost)
            except LossFound:
                log.info("Taking the copies of %s anew.", self._queue)
            except StaleGeneration:
                log.warning("Redis has another history: looking at all copies of %s.", self._queue)
                self._queues.forget()
            except CopiesLost as lost:
                self._lost(lost)
            finally:
                await opening.close()

    async def _open(self) -> Opening:
        await self._topology.declare(self._queue)
        source = await CopySource.open(
            self._stores.rabbitmq_url,
            self._queue,
            prefetch=self._stores.settings.rehydrator_window,
            process=f"rehydrator-{self._queue}",
            kind=self._stores.settings.rehydrator_source,
        )
        self._sweep_at_s = self._check_at_s = 0.0
        self._ask_at_s = time.monotonic() + self._pace.ask_all_s
        notes = Counted(self._stores.metrics)
        return Opening(
            self._stores,
            self._queue,
            self._queues,
            source,
            notes,
            holds_back=self._watch.holds_back,
        )

    async def _work(self, opening: Opening) -> None:
        while True:
            try:
                await self._turn(opening)
            except (CopiesLost, StaleGeneration):
                raise
            except Unavailable as error:
                await self._failed("look at the copies of", error, opening)
            else:
                self._failures = 0

    async def _turn(self, opening: Opening) -> None:
        if time.monotonic() >= self._check_at_s:
            # Before anything is brought back: a loss may have to be told only.
            await self._check(opening)
        if opening.holdings.settled:
            wait_s = max(0.0, min(self._sweep_at_s, self._check_at_s) - time.monotonic())
            await opening.take(BATCH, int(wait_s * 1_000) + 1)
        await opening.look(ask_all=False)
        if time.monotonic() >= self._sweep_at_s:
            await self._sweep(opening)
        await opening.reach_for_fence()
        if opening.fence_passed:
            await self._complete(opening)
        if not opening.holdings.settled:
            raise Unavailable("ledger", "some copies could not be judged")

    async def _sweep(self, opening: Opening) -> None:
        began_s = time.monotonic()
        ask_all = began_s >= self._ask_at_s
        answered = await opening.sweep(ask_all=ask_all)
        ended_s = time.monotonic()
        if not answered:
            self._sweep_at_s = ended_s + self._pace.retry_s
            return
        if ask_all:
            self._ask_at_s = ended_s + self._pace.ask_all_s
        pause_s = max(self._pace.sweep_s, self._pace.share * (ended_s - began_s))
        self._sweep_at_s = ended_s + min(pause_s, self._pace.sweep_max_s)

    async def _check(self, opening: Opening) -> None:
        """Notice a loss in any queue, and have all copies looked at where there was one."""
        pending = found = False
        for queue in self._queues:
            must, now = await self._watch.look(queue)
            pending, found = pending or must, found or now
        self._check_at_s = time.monotonic() + self._pace.check_s
        if found:
            raise LossFound
        fences = opening.fences
        if (pending and not fences.waiting and not fences.seen) or fences.overdue:
            await opening.publish_fence()

    async def _complete(self, opening: Opening) -> None:
        for queue, token in opening.fences.tokens.items():
            if not self._watch.holds_back(queue):
                self._stores.crashes.reach("rehydrator.before_complete")
                await queue.complete(token)
                self._stores.crashes.reach("rehydrator.after_complete")
                await self._watch.healed(queue)
        opening.fences.done()
        log.info("Every copy of %s was looked at.", self._queue)

    async def _missed(self, queues: Collection[RedisQueue]) -> None:
        log.info("Held copies of %s are needed whole: fetching them anew.", self._queue)
        try:
            await self._watch.miss(queues)
        except StaleGeneration:
            self._queues.forget()
        except Unavailable as error:
            log.debug("What became of %s is not known (%s).", self._queue, error.detail)

    def _lost(self, lost: CopiesLost) -> None:
        if lost.by_operator:
            self._away_until_s = time.monotonic() + self._pace.operator_away_s
            log.warning(
                "An operator closed the connection: the copies of %s are left alone for %.0f s.",
                self._queue,
                self._pace.operator_away_s,
            )

    async def _failed(self, what: str, error: Unavailable, opening: Opening | None = None) -> None:
        if self._failures % REMIND_EVERY == 0:
            log.warning("Cannot %s %s (%s); trying again.", what, self._queue, error)
        self._failures += 1
        if opening is None:
            await asyncio.sleep(self._pace.retry_s)
            return
        try:
            async with asyncio.timeout(self._pace.retry_s):
                await opening.source.lost.wait()
        except TimeoutError:
            return
