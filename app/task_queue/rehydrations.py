"""Rehydrations that are asked for here: a wish in the ledger, carried out by a rehydrator process.

The API holds no copies and must not: it writes what is wanted and shows what became of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.amqp.declare import has_mirror_queue
from app.clock import now_ms
from app.cursors import page_and_cursor
from app.errors import RehydrationRunning, TaskNotFound
from app.ledger.paging import Place, place_of
from app.ledger.records import RehydrationRecord
from app.names import new_task_id
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.views import ShownPage

RUN_LEASE: Final = "rehydrate"
"""The lease in the ledger that every run holds: one at a time."""
ASK_LEASE_MS: Final = 3_000
REQUESTED: Final = "requested"
RUNNING: Final = "running"
FAILED: Final = "failed"
TAKEN_WITHIN_MS: Final = 15_000
"""A wish nobody has taken by then is not carried out any more."""
SILENT_FOR_MS: Final = 60_000
"""A run writes its record every second; one that was killed does not."""
RECENT: Final = 20
COUNTS: Final = (
    "seen",
    "total",
    "restored",
    "present",
    "finished",
    "cancelled",
    "expired",
    "quarantined",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run shall do; ``since_ms`` Unix ms, ``rate`` restores per second at the most."""

    dry_run: bool = False
    queue: str | None = None
    tenant: str | None = None
    since_ms: int | None = None
    task_ids: Sequence[str] = ()
    rate: float | None = None


class Rehydrations:
    """Asks for runs and shows them."""

    def __init__(self, ledger: LedgerGate, rabbitmq_url: str | None) -> None:
        self._ledger = ledger
        self._rabbitmq_url = rabbitmq_url

    async def request(self, wish: Wish) -> dict[str, Any]:
        """Ask for a run; as it is shown.

        Raises:
            TaskNotFound: there is no queue of the name it is limited to.
            RehydrationRunning: one is under way, or asked for.
            Unavailable: the ledger is away.
        """
        if wish.queue is not None:
            await self._require(wish.queue)
        now = now_ms()
        record = RehydrationRecord(
            id=new_task_id(),
            state=REQUESTED,
            started_at_ms=now,
            dry_run=wish.dry_run,
            queue=wish.queue,
            tenant=wish.tenant,
            since_ms=wish.since_ms,
            task_ids=list(wish.task_ids),
            rate=wish.rate,
            updated_at_ms=now,
        )
        if not await self._ledger.acquire_lease(RUN_LEASE, record.id, ASK_LEASE_MS):
            raise RehydrationRunning(
                "A rehydration is running; wait for its end (GET /v1/rehydrations)."
            )
        try:
            waiting = [each for each in await self._latest(RECENT) if each.state == REQUESTED]
            if waiting:
                raise RehydrationRunning(
                    f"Rehydration {waiting[0].id} was asked for and begins in a moment; wait for"
                    " its end."
                )
            await self._ledger.put_rehydration(record)
        finally:
            await self._ledger.release_lease(RUN_LEASE, record.id)
        return shown(record)

    async def listed(self, cursor: str | None, limit: int) -> ShownPage:
        """A page of the runs, newest first, and the next page's cursor.

        Raises:
            InvalidTask: the cursor is none of this list.
            Unavailable: the ledger is away.
        """
        found = await self._latest(limit + 1, place_of(cursor))
        page, after = page_and_cursor(found, limit, lambda each: (each.started_at_ms, each.id))
        return [shown(each) for each in page], after

    async def get(self, id: str) -> dict[str, Any] | None:
        """One run.

        Raises:
            Unavailable: the ledger is away.
        """
        record = await self._ledger.get_rehydration(id)
        return None if record is None else shown(await self._judged(record))

    async def _require(self, queue: str) -> None:
        """Any tenant's, for a run is not limited to one; a new ledger knows none of those before.

        Raises:
            TaskNotFound: it is neither recorded nor has copies.
        """
        if any(queue == each.queue for each in await self._ledger.queues()):
            return
        url = self._rabbitmq_url
        if url is None or not await has_mirror_queue(url, queue, "api-look"):
            raise TaskNotFound(f"There is no queue {queue}, neither recorded nor in RabbitMQ.")

    async def _latest(self, limit: int, after: Place | None = None) -> list[RehydrationRecord]:
        records = await self._ledger.rehydrations(limit, after=after)
        return [await self._judged(each) for each in records]

    async def _judged(self, record: RehydrationRecord) -> RehydrationRecord:
        """The record, failed where nobody will go on with it."""
        now = now_ms()
        if (because := why_given_up(record, now)) is None:
            return record
        given_up = replace(
            record, state=FAILED, finished_at_ms=now, problems=[*record.problems, because]
        )
        if await self._ledger.replace_rehydration(given_up, expected=record.state):
            return given_up
        return await self._ledger.get_rehydration(record.id) or given_up


def why_given_up(record: RehydrationRecord, now_ms: int) -> str | None:
    """Why nobody will go on with a run, as a sentence; None: somebody may."""
    quiet_ms = now_ms - (record.updated_at_ms or record.started_at_ms)
    if record.state == REQUESTED and quiet_ms > TAKEN_WITHIN_MS:
        return (
            f"No rehydrator took it within {TAKEN_WITHIN_MS // 1_000} s. Start `lifeboat"
            " rehydrator` and ask again, or run `lifeboat rehydrate`."
        )
    if record.state == RUNNING and quiet_ms > SILENT_FOR_MS:
        return (
            f"Its process has been silent for {SILENT_FOR_MS // 1_000} s: it was killed, or lost"
            " the ledger. Ask again; what is restored stays."
        )
    return None


def shown(record: RehydrationRecord) -> dict[str, Any]:
    """A run as callers see it; times in milliseconds UTC."""
    return {
        "id": record.id,
        "state": record.state,
        **{name: record.counts.get(name, 0) for name in COUNTS},
        "startedAt": record.started_at_ms,
        "finishedAt": record.finished_at_ms,
        "dryRun": record.dry_run,
        "queue": record.queue,
        "tenant": record.tenant,
        "problems": list(record.problems),
    }
