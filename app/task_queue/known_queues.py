"""Which queues exist: a closed list from the settings, or whatever the ledger has seen."""

import asyncio

from app.errors import TaskNotFound, Unavailable, UnknownQueue
from app.names import QueueName
from app.task_queue.ledger_gate import LedgerGate


class KnownQueues:
    """Remembers the tenant's queues; a queue that exists never goes away."""

    def __init__(
        self, ledger: LedgerGate, tenant: str, *, closed: tuple[str, ...], limit: int
    ) -> None:
        self._ledger = ledger
        self._tenant = tenant
        self._closed = frozenset(closed)
        self._limit = limit
        self._known: set[str] = set()
        self._making = asyncio.Lock()

    def check(self, queue: str) -> None:
        """Refuse a queue that is not on the closed list.

        Raises:
            UnknownQueue: it is not.
        """
        if self._closed and queue not in self._closed:
            listed = ", ".join(sorted(self._closed))
            raise UnknownQueue(f"Queue {queue} is not one of {listed} (LIFEBOAT_QUEUES).")

    def knows(self, queue: str) -> bool:
        """Whether the queue was seen to exist."""
        return queue in self._known

    def note(self, queue: str) -> None:
        """Remember a queue that exists."""
        self._known.add(queue)

    async def ensure(self, queue: str) -> None:
        """Make a queue exist.

        Raises:
            QueueLimitReached: the tenant has as many as it may.
            Unavailable: the ledger is away, so it cannot be made now.
        """
        async with self._making:
            if queue not in self._known:
                await self._ledger.ensure_queue(self._tenant, queue, self._limit)
                self._known.add(queue)

    async def all(self) -> tuple[list[QueueName], Unavailable | None]:
        """The tenant's queues by name, and why there may be others: the ledger is away."""
        doubt = None
        try:
            await self._refresh()
        except Unavailable as error:
            doubt = error
        return [QueueName(self._tenant, queue) for queue in sorted(self._known)], doubt

    async def require(self, queue: str) -> QueueName:
        """A queue that exists.

        Raises:
            TaskNotFound: there is none of this name, so nothing of it can be found.
            Unavailable: the ledger is away and the queue was never seen here.
        """
        if queue not in self._known:
            await self._refresh()
        if queue not in self._known:
            raise TaskNotFound(f"There is no queue {queue}.")
        return QueueName(self._tenant, queue)

    async def _refresh(self) -> None:
        records = await self._ledger.queues()
        self._known |= {each.queue for each in records if each.tenant == self._tenant}
