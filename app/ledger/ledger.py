"""The seam between Lifeboat and its ledger: two stores behind it, one test suite before it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.ledger.paging import Place
from app.ledger.records import (
    ActionRecord,
    Finish,
    FinishResult,
    LeaseView,
    LedgerRecord,
    Marks,
    OpenWrite,
    Page,
    QuarantineRecord,
    QueueRecord,
    RecordQuery,
    RehydrationRecord,
    Standing,
)
from app.names import TaskKey


class Ledger(Protocol):
    """The record of outcomes, and of what else must outlive Redis.

    Every call has a deadline and raises ``Unavailable`` when the store is away or slower than that:
    a write may then have happened or not; repeating it is harmless.
    """

    @property
    def identity(self) -> str:
        """Who this ledger is (empty before ``open``)."""

    async def open(self) -> None:
        """Connect, make indexes, read or create the identity.

        Raises:
            LedgerMismatch: this ledger belongs to another env.
        """

    async def close(self) -> None:
        """Let go of the store."""

    async def ping(self) -> None:
        """One round trip."""

    async def finish(self, writes: Sequence[Finish]) -> list[FinishResult]:
        """Record outcomes, each once (rule 2); answers in order."""

    async def record_open(self, writes: Sequence[OpenWrite]) -> list[bool]:
        """Record how far runs got (rule 4); whether each is in force."""

    async def ask(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Standing]:
        """How tasks stand, by a majority read; unknown ones are left out."""

    async def get(self, key: TaskKey) -> LedgerRecord | None:
        """Everything known of one task."""

    async def search(self, query: RecordQuery, *, include_redriven: bool = False) -> Page:
        """Finished records, newest first by (finished.at, id); see ``Page``.

        A parked record whose next run is open already (``note_redriven``) is left out unless
        ``include_redriven``. What changes between two pages is neither skipped nor repeated,
        unless it finished anew meanwhile.

        Raises:
            InvalidTask: the cursor is none of this list.
        """

    async def note_redriven(self, keys_runs: Sequence[tuple[TaskKey, int]]) -> None:
        """Note that each run is open and its copy confirmed: the parked run before it is left.

        Counts and searches leave the record out until a later run finishes. Nothing happens where
        that run or a later one has finished, or where there is no record; repeating is harmless.
        """

    async def finished_ids(self, tenant: str, queue: str) -> Mapping[str, str]:
        """Task id -> state of all finished tasks of a queue (for drills and small queues)."""

    async def ensure_queue(self, tenant: str, queue: str, limit: int) -> None:
        """Make a queue exist.

        Raises:
            QueueLimitReached: the tenant already has ``limit`` queues.
        """

    async def queues(self) -> list[QueueRecord]:
        """Every queue that exists."""

    async def set_paused(self, tenant: str, queue: str, *, paused: bool) -> bool:
        """Say whether a queue is paused; whether there is such a queue. Creates none."""

    async def parked_counts(self, tenant: str, queue: str) -> Mapping[str, int]:
        """How many tasks of a queue are ``dead`` and ``suspended``, those redriven not counted."""

    async def acquire_lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take a free, expired or own lease."""

    async def renew_lease(self, name: str, owner: str, ttl_ms: int) -> LeaseView:
        """Keep a lease and learn whether somebody wants it."""

    async def request_lease(self, name: str, by: str) -> None:
        """Ask the holder to hand over; cleared when anybody acquires it."""

    async def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back."""

    async def put_rehydration(self, record: RehydrationRecord) -> None:
        """Write a run's record, replacing an older one of the same id."""

    async def rehydrations(
        self, limit: int, *, after: Place | None = None
    ) -> list[RehydrationRecord]:
        """The latest runs, newest first.

        ``after``: the last one of the page before.
        """

    async def replace_rehydration(self, record: RehydrationRecord, *, expected: str) -> bool:
        """Write a run's record over one in the state ``expected``; whether there was such a one."""

    async def get_rehydration(self, id: str) -> RehydrationRecord | None:
        """One run."""

    async def put_marks(self, marks: Marks) -> None:
        """Note how far a queue's history in Redis got, in place of what was noted before."""

    async def get_marks(self, tenant: str, queue: str) -> Marks | None:
        """What was last noted of a queue."""

    async def record_action(self, record: ActionRecord) -> None:
        """Write what an operator did, replacing an older record of the same id."""

    async def actions(self, limit: int) -> list[ActionRecord]:
        """The latest actions, newest first."""

    async def put_quarantine(self, record: QuarantineRecord) -> None:
        """Keep a copy for a person; repeating it changes nothing."""

    async def quarantined(
        self, limit: int, *, tenants: Sequence[str] | None = None, after: Place | None = None
    ) -> list[QuarantineRecord]:
        """What lies unresolved in the quarantine (of some tenants), newest first.

        ``after``: the last one of the page before.
        """

    async def get_quarantined(self, id: str) -> QuarantineRecord | None:
        """One quarantined copy, resolved or not."""

    async def resolve_quarantined(self, id: str, resolution: str, by: str, at_ms: int) -> bool:
        """Note what a person did with a copy, once; whether this resolution is in force.

        Repeating it is in force too and changes nothing; another one after it is not.
        """

    async def count_quarantined(self) -> int:
        """How many copies lie unresolved in the quarantine, of all tenants."""

    async def resolutions(self, ids: Sequence[str]) -> Mapping[str, str | None]:
        """What became of quarantined copies, None: nothing yet; unknown ones are left out."""

    async def quarantine_counts(self) -> Mapping[tuple[str, str], int]:
        """How many copies lie unresolved, by (tenant, queue); those with none are left out."""

    async def expire(self, now_ms: int) -> int:
        """Drop terminal records older than their days where the store does not do so itself."""
