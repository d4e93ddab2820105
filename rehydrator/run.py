"""A rehydrate run over one mirror queue: everything up to a fence of its own (rule 11)."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aio_pika.abc import AbstractConnection

from app.amqp.connection import broker_call, close_connection, open_channel, open_connection
from app.amqp.message import Copy
from app.amqp.topology import mirror_queue
from app.errors import StaleGeneration, Unavailable
from app.names import QueueName
from mirror.topology import Topology
from rehydrator.lease import Lease, queue_lease
from rehydrator.opening import Opening, every_copy
from rehydrator.rate import Rate
from rehydrator.redis_queue import RedisQueues, Stores
from rehydrator.report import Tally
from rehydrator.source import CopiesLost, CopySource

log = logging.getLogger(__name__)

BATCH: Final = 500
FIRST: Final = 2_000
"""Copies that come at once."""
WAIT_MS: Final = 200
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run shall do. ``since_ms``: only tasks accepted then or later, Unix ms.

    ``tenant``, ``since_ms`` and ``task_ids`` limit what is restored and counted; ``rate`` is
    restores per second at the most.
    """

    dry_run: bool = False
    queue: str | None = None
    tenant: str | None = None
    since_ms: int | None = None
    task_ids: frozenset[str] = frozenset()
    rate: float | None = None

    @property
    def filtered(self) -> bool:
        """Whether some copies are left alone."""
        return bool(self.tenant or self.since_ms is not None or self.task_ids)

    def wants(self, copy: Copy) -> bool:
        """Whether this copy is looked at."""
        envelope = copy.envelope
        return (
            self.tenant in (None, envelope.tenant)
            and envelope.accepted_at_ms >= (self.since_ms or 0)
            and (not self.task_ids or envelope.task_id in self.task_ids)
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run waits for what; seconds."""

    hand_over_s: float = 60.0
    stores_s: float = 30.0


class Incomplete(Exception):
    """Not everything could be looked at; the sentence says why."""


class QueueRun:
    """The run over one queue."""

    def __init__(
        self,
        stores: Stores,
        topology: Topology,
        queue: str,
        request: RunRequest,
        *,
        told: Callable[[], None],
        patience: Patience,
    ) -> None:
        self.tally = Tally(dry=request.dry_run)
        self.total = 0
        self._stores = stores
        self._topology = topology
        self._queue = queue
        self._request = request
        self._told = told
        self._patience = patience
        self._queues = RedisQueues(stores)
        self._rate = Rate(request.rate)
        ttl_ms = stores.settings.rehydrator_lease_ms
        self._lease = Lease(stores.ledger, queue_lease(queue), ttl_ms)
        self._failing_since_s: float | None = None

    def meet(self, name: QueueName) -> None:
        """This queue exists in Redis, though it may have lost everything."""
        self._queues.of(name)

    async def run(self) -> None:
        """Look at everything that is in the queue now.

        Raises:
            Fatal: a store is not the one it must be.
            Incomplete: something stood in the way.
        """
        await self._take_over()
        self._stores.crashes.reach("rehydrator.after_lease")
        async with self._lease.kept(yields=False):
            while not await self._pass():
                pass

    async def _take_over(self) -> None:
        """Have the service hand over; a dead one's lease expires."""
        deadline_s = time.monotonic() + self._patience.hand_over_s
        while not await self._lease.acquire():
            if time.monotonic() > deadline_s:
                raise Incomplete(
                    f"The rehydrator of queue {self._queue} did not hand over. Is it stuck? Stop it"
                    " and run this again."
                )
            await self._lease.want()
            await asyncio.sleep(POLL_S)

    async def _pass(self) -> bool:
        """One opening; whether it came to its end.

        Raises:
            Incomplete: a store was away for too long.
        """
        self.tally.begin_pass()
        try:
            opening = await self._open()
        except Unavailable as error:
            await self._failed(error)
            return False
        try:
            async with opening.publishing_fence():
                await self._look_at_all(opening)
        except CopiesLost as lost:
            if lost.by_operator:
                raise Incomplete(
                    f"An operator closed the connection: queue {self._queue} is left alone."
                ) from lost
            await self._failed(lost)
            return False
        except StaleGeneration:
            self._queues.forget()
            return False
        except Unavailable as error:
            await self._failed(error)
            return False
        finally:
            await opening.close()
        return True

    async def _open(self) -> Opening:
        await self._topology.declare(self._queue)
        await self._until_alone()
        source = await CopySource.open(
            self._stores.rabbitmq_url,
            self._queue,
            prefetch=self._stores.settings.rehydrator_window,
            first=FIRST,
            process=f"rehydrate-{self._queue}",
            kind=self._stores.settings.rehydrator_source,
        )
        return Opening(
            self._stores,
            self._queue,
            self._queues,
            source,
            self.tally,
            wanted=self._request.wants if self._request.filtered else every_copy,
            rate=self._rate,
            dry=self._request.dry_run,
            once=True,
        )

    async def _until_alone(self) -> None:
        """Wait until nobody else holds copies: they would come back behind the fence."""
        deadline_s = time.monotonic() + self._patience.hand_over_s
        connection = await open_connection(self._stores.rabbitmq_url, "rehydrate-look")
        try:
            while True:
                ready, consumers = await _ready_and_consumers(connection, self._queue)
                self.total = ready
                if not consumers:
                    return
                if time.monotonic() > deadline_s:
                    raise Incomplete(
                        f"Somebody else consumes {mirror_queue(self._queue)}: what they hold could"
                        " not be looked at. Stop them and run this again."
                    )
                await asyncio.sleep(POLL_S)
        finally:
            await close_connection(connection)

    async def _look_at_all(self, opening: Opening) -> None:
        moved_s = time.monotonic()
        while not opening.fence_passed:
            try:
                if not opening.holdings.settled:
                    # Left over from a try that failed.
                    await opening.look(ask_all=True)
                    moved_s = time.monotonic()
                elif await opening.take_and_look(BATCH, WAIT_MS, self._looked):
                    moved_s = time.monotonic()
                elif time.monotonic() - moved_s > self._patience.stores_s:
                    raise Incomplete(
                        f"RabbitMQ takes or brings no fence of queue {self._queue}: has it an"
                        " alarm? Run this again when it is over."
                    )
            except (CopiesLost, StaleGeneration):
                raise
            except Unavailable as error:
                await self._failed(error)
                moved_s = time.monotonic()
                continue
            finally:
                self._told()
            if not opening.holdings.settled:
                await self._failed(Unavailable("ledger", "it gave no answer"))
                continue
            self._failing_since_s = None
            await opening.reach_for_fence()
            if opening.fences.overdue:
                await opening.publish_fence()
        await self._complete(opening)

    def _looked(self) -> None:
        # What failed before that was not for long.
        self._failing_since_s = None
        self._told()

    async def _complete(self, opening: Opening) -> None:
        if self._request.dry_run or self._request.filtered:
            return
        for queue in self._queues:
            # One met after the fence was made, or of a newer history, is the service's to judge.
            if (token := opening.fences.tokens.get(queue)) is not None:
                self._stores.crashes.reach("rehydrator.before_complete")
                await queue.complete(token)
                self._stores.crashes.reach("rehydrator.after_complete")

    async def _failed(self, error: Unavailable) -> None:
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
            log.warning("Waiting: %s", error)
        if now_s - self._failing_since_s > self._patience.stores_s:
            raise Incomplete(
                f"Queue {self._queue} was not looked at to the end: {error}. Run this again when it"
                " is back."
            ) from error
        await asyncio.sleep(POLL_S)


async def _ready_and_consumers(connection: AbstractConnection, queue: str) -> tuple[int, int]:
    async with broker_call(), open_channel(connection) as channel:
        declared = await channel.get_queue(mirror_queue(queue), ensure=True)
        found = declared.declaration_result
        return found.message_count or 0, found.consumer_count or 0
