"""The ledger as producers and readers use it: refused at once while it is known to be away.

Without this every look-up during an outage would wait for the store's own deadline.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from app.errors import Unavailable, reason_of
from app.ledger.ledger import Ledger
from app.ledger.paging import Place
from app.ledger.records import (
    ActionRecord,
    Finish,
    FinishResult,
    LedgerRecord,
    Page,
    QuarantineRecord,
    QueueRecord,
    RecordQuery,
    RehydrationRecord,
    Standing,
)
from app.lifecycle import wait_for
from app.names import TaskKey

log = logging.getLogger(__name__)

T = TypeVar("T")


class LedgerGate:
    """Some verbs of a ``Ledger``; each raises ``Unavailable`` at once while it is away.

    ``run`` opens the ledger and keeps watching it; until then it counts as away.
    """

    def __init__(
        self, ledger: Ledger, where: str, *, look_up_within_s: float | None = None
    ) -> None:
        """``look_up_within_s``: what a submit must know first is waited for no longer.

        It has Redis and RabbitMQ to go to yet, and only one call's time.
        """
        self._ledger = ledger
        self._where = where
        self._look_up_within_s = look_up_within_s
        self._away_because = "not reached yet"
        self._opened = False
        self._suspected = asyncio.Event()

    @property
    def identity(self) -> str:
        """Who the ledger is, empty until it was reached."""
        return self._ledger.identity

    async def run(self) -> None:
        """Open the ledger, then notice when it leaves and returns; ends only by cancellation.

        Raises:
            LedgerMismatch: the ledger belongs to another env.
        """
        if not self._opened:
            await wait_for(self._where, self._ledger.open)
        self._opened = True
        while True:
            self._away_because = ""
            await self._suspected.wait()
            self._suspected.clear()
            await wait_for(self._where, self._ledger.ping)

    async def try_open(self, within_s: float) -> None:
        """Open it now if that is quick: the first calls need not find it away."""
        try:
            async with asyncio.timeout(within_s):
                await self._ledger.open()
        except (Unavailable, TimeoutError):
            return
        self._opened, self._away_because = True, ""

    async def ping(self) -> None:
        """One round trip, also while it is known to be away."""
        await self._ledger.ping()
        if not self._opened:
            raise Unavailable("ledger", self._away_because)

    async def ask(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Standing]:
        """How tasks stand."""
        return await self._pass(lambda: self._ledger.ask(keys), self._look_up_within_s)

    async def get(self, key: TaskKey) -> LedgerRecord | None:
        """Everything known of one task."""
        return await self._pass(lambda: self._ledger.get(key))

    async def search(self, query: RecordQuery, *, include_redriven: bool = False) -> Page:
        """Finished records, newest first."""
        return await self._pass(
            lambda: self._ledger.search(query, include_redriven=include_redriven)
        )

    async def note_redriven(self, keys_runs: Sequence[tuple[TaskKey, int]]) -> None:
        """Note that runs are open again and their copies confirmed."""
        await self._pass(lambda: self._ledger.note_redriven(keys_runs))

    async def finish(self, writes: Sequence[Finish]) -> list[FinishResult]:
        """Record outcomes."""
        return await self._pass(lambda: self._ledger.finish(writes))

    async def ensure_queue(self, tenant: str, queue: str, limit: int) -> None:
        """Make a queue exist."""
        await self._pass(
            lambda: self._ledger.ensure_queue(tenant, queue, limit), self._look_up_within_s
        )

    async def queues(self) -> list[QueueRecord]:
        """Every queue that exists."""
        return await self._pass(self._ledger.queues)

    async def set_paused(self, tenant: str, queue: str, *, paused: bool) -> bool:
        """Say whether a queue is paused; whether there is such a queue."""
        return await self._pass(lambda: self._ledger.set_paused(tenant, queue, paused=paused))

    async def parked_counts(self, tenant: str, queue: str) -> Mapping[str, int]:
        """How many tasks of a queue wait for a person."""
        return await self._pass(lambda: self._ledger.parked_counts(tenant, queue))

    async def record_action(self, record: ActionRecord) -> None:
        """Write what an operator did."""
        await self._pass(lambda: self._ledger.record_action(record))

    async def actions(self, limit: int) -> list[ActionRecord]:
        """The latest actions, newest first."""
        return await self._pass(lambda: self._ledger.actions(limit))

    async def quarantined(
        self, limit: int, *, tenants: Sequence[str] | None = None, after: Place | None = None
    ) -> list[QuarantineRecord]:
        """What lies unresolved in the quarantine, newest first."""
        return await self._pass(
            lambda: self._ledger.quarantined(limit, tenants=tenants, after=after)
        )

    async def get_quarantined(self, id: str) -> QuarantineRecord | None:
        """One quarantined copy, resolved or not."""
        return await self._pass(lambda: self._ledger.get_quarantined(id))

    async def resolve_quarantined(self, id: str, resolution: str, by: str, at_ms: int) -> bool:
        """Note what a person did with a copy, once; whether this resolution is in force."""
        return await self._pass(lambda: self._ledger.resolve_quarantined(id, resolution, by, at_ms))

    async def count_quarantined(self) -> int:
        """How many copies lie unresolved in the quarantine."""
        return await self._pass(self._ledger.count_quarantined)

    async def acquire_lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take a free, expired or own lease."""
        return await self._pass(lambda: self._ledger.acquire_lease(name, owner, ttl_ms))

    async def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back."""
        await self._pass(lambda: self._ledger.release_lease(name, owner))

    async def put_rehydration(self, record: RehydrationRecord) -> None:
        """Write a run's record."""
        await self._pass(lambda: self._ledger.put_rehydration(record))

    async def replace_rehydration(self, record: RehydrationRecord, *, expected: str) -> bool:
        """Write a run's record over one in the state ``expected``; whether there was such a one."""
        return await self._pass(lambda: self._ledger.replace_rehydration(record, expected=expected))

    async def rehydrations(
        self, limit: int, *, after: Place | None = None
    ) -> list[RehydrationRecord]:
        """The latest runs, newest first."""
        return await self._pass(lambda: self._ledger.rehydrations(limit, after=after))

    async def get_rehydration(self, id: str) -> RehydrationRecord | None:
        """One run."""
        return await self._pass(lambda: self._ledger.get_rehydration(id))

    async def _pass(self, call: Callable[[], Awaitable[T]], within_s: float | None = None) -> T:
        if self._away_because:
            raise Unavailable("ledger", self._away_because)
        try:
            async with asyncio.timeout(within_s):
                return await call()
        except Unavailable as error:
            self._suspect(error.detail)
            raise
        except TimeoutError as error:
            self._suspect(reason_of(error))
            raise Unavailable("ledger", self._away_because) from error

    def _suspect(self, because: str) -> None:
        self._away_because = because
        self._suspected.set()
