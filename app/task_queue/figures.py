"""The figures of queues and of their mirrors, each from the store that knows it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from app.broker.connection import RedisConnection
from app.broker.coverage import read_coverage
from app.broker.gauges import read_gauges
from app.broker.presence import Presence
from app.broker.watermark import read_mirror_state
from app.canary import is_canary
from app.cursors import page_by_name
from app.errors import TaskNotFound, Unavailable
from app.names import QueueName
from app.task_queue.copies import Copies
from app.task_queue.coverage import canary_document, coverage_document
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queues import OpenQueues
from app.task_queue.views import (
    Shown,
    ShownPage,
    mirror_document,
    queue_document,
    without_copies,
    worker_document,
)


class Figures:
    """Reads figures; what a store cannot say now is null, but for Redis."""

    def __init__(
        self,
        queues: OpenQueues,
        redis: RedisConnection,
        ledger: LedgerGate,
        copies: Copies,
        presence: Presence,
    ) -> None:
        self._queues = queues
        self._presence = presence
        self._redis = redis
        self._ledger = ledger
        self._copies = copies

    async def queues(self, cursor: str | None, limit: int) -> ShownPage:
        """A page of the tenant's queues, by name, and the next page's cursor.

        Raises:
            InvalidTask: the cursor is none of this list.
            Unavailable: Redis is away.
        """
        return await self._page(self.queue, cursor, limit)

    async def mirrors(self, cursor: str | None, limit: int) -> ShownPage:
        """A page of the mirrors of the tenant's queues, by name. Raises as ``queues``."""
        return await self._page(self.mirror, cursor, limit)

    async def queue(self, name: QueueName) -> Shown:
        """One queue."""
        queue = self._queues.of(name)
        gauges = await queue.under_token(partial(read_gauges, self._redis, queue.keys))
        return queue_document(
            name,
            gauges if queue.is_mirrored else without_copies(gauges),
            paused=await queue.is_paused(),
            parked=await self._parked(name),
            copies=await self._copies.count(name.queue),
            workers=sum(name in each.queues for each in await self._presence.workers()),
        )

    async def coverage(self, name: QueueName, minutes: int) -> Shown:
        """Of the runs accepted in each of the last ``minutes``, how many have their copy."""
        queue = self._queues.of(name)
        read = partial(read_coverage, self._redis, queue.keys)
        found = await queue.under_token(lambda token: read(token, minutes))
        return coverage_document(name, found, mirrored=queue.is_mirrored)

    async def canary(self, name: QueueName, task_id: str) -> Shown:
        """How far round a canary is, by what Redis has of it and nothing else.

        Raises:
            TaskNotFound: Redis has no such canary.
            Unavailable: Redis is away.
        """
        queue = self._queues.of(name)
        (sighting,) = await queue.under_token(lambda token: queue.intake.look(token, [task_id]))
        if sighting is None or not is_canary(task_id):
            raise TaskNotFound(f"Redis knows no canary {task_id} in the queue {name.queue}.")
        return canary_document(name, task_id, sighting)

    async def workers(self, tenant: str, cursor: str | None, limit: int) -> ShownPage:
        """A page of those workers of the env that work for a tenant. Raises as ``queues``."""
        ours = [
            each
            for each in await self._presence.workers()
            if not each.queues or any(name.tenant == tenant for name in each.queues)
        ]
        page, after = page_by_name(ours, lambda each: each.worker, cursor, limit)
        return [worker_document(each, tenant) for each in page], after

    async def mirror(self, name: QueueName) -> Shown:
        """The mirror of one queue."""
        queue = self._queues.of(name)
        gauges = await queue.under_token(partial(read_gauges, self._redis, queue.keys))
        state = await queue.under_token(partial(read_mirror_state, self._redis, queue.keys))
        return mirror_document(name, gauges, state)

    async def _page(
        self, figures: Callable[[QueueName], Awaitable[Shown]], cursor: str | None, limit: int
    ) -> ShownPage:
        names, _ = await self._queues.all()
        page, after = page_by_name(names, lambda each: each.queue, cursor, limit)
        return await asyncio.gather(*(figures(each) for each in page)), after

    async def _parked(self, name: QueueName) -> Mapping[str, int | None]:
        try:
            return dict(await self._ledger.parked_counts(name.tenant, name.queue))
        except Unavailable:
            return {}
