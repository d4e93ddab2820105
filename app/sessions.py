"""Sessions: a process's view of one queue in Redis, valid for one generation.

Every actor keeps what it knows beside the token it was learnt under. On ``StaleGeneration`` it
calls ``forget``, drops what it knew of that queue, and asks for the generation anew (rule 1).
"""

import asyncio
from collections.abc import Awaitable, Callable

from app.broker.connection import RedisConnection
from app.broker.generation import Generation, attach, load_paused
from app.broker.keys import QueueKeys
from app.errors import Unavailable
from app.ledger.ledger import Ledger
from app.names import QueueName


class QueueSession:
    """One queue, one process. Safe to share by its tasks."""

    def __init__(
        self, redis: RedisConnection, ledger: Ledger, env: str, name: QueueName, *, adopt: bool
    ) -> None:
        self.name = name
        self.keys = QueueKeys(env, name)
        self._redis = redis
        self._ledger = ledger
        self._adopt = adopt
        self._known: Generation | None = None
        self._lock = asyncio.Lock()

    async def generation(self) -> Generation:
        """The generation in force, as last learnt.

        Raises:
            LedgerMismatch: Redis remembers another ledger; the process must stop.
            Unavailable: Redis is away.
        """
        if self._known is None:
            async with self._lock:
                if self._known is None:
                    self._known = await self._attach()
        return self._known

    async def token(self) -> str:
        """The token of the generation in force."""
        return (await self.generation()).token

    def forget(self) -> None:
        """Learn the generation anew at the next call."""
        self._known = None

    async def _attach(self) -> Generation:
        known = await attach(self._redis, self.keys, self._ledger.identity, adopt=self._adopt)
        if known.paused is not None:
            return known
        try:
            paused = await self._paused_in_ledger()
        except Unavailable:
            return known
        flag = await load_paused(self._redis, self.keys, known.token, paused=paused)
        return Generation(known.token, known.since_ms, known.ledger, flag, known.pending)

    async def _paused_in_ledger(self) -> bool:
        for record in await self._ledger.queues():
            if (record.tenant, record.queue) == (self.name.tenant, self.name.queue):
                return record.paused
        return False


WATCH_EVERY_S = 2.0


async def watch_queues(
    ledger: Ledger,
    found: Callable[[QueueName], Awaitable[None]],
    *,
    queue: str | None = None,
    tenant: str | None = None,
) -> None:
    """Call ``found`` once for each queue the ledger names, now and whenever one is added.

    ``queue`` and ``tenant`` limit what is told. Runs until cancelled; a ledger that is away only
    delays.
    """
    told: set[QueueName] = set()
    while True:
        try:
            records = await ledger.queues()
        except Unavailable:
            records = []
        for record in records:
            name = QueueName(record.tenant, record.queue)
            wanted = queue in (None, name.queue) and tenant in (None, name.tenant)
            if wanted and name not in told:
                told.add(name)
                await found(name)
        await asyncio.sleep(WATCH_EVERY_S)
