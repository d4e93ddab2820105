"""The quarantine: copies nobody may act on before a person looked at them.

The message itself lies in RabbitMQ; the rehydrator lets it go once its record is resolved. So a
record is resolved only when the task has another copy, or needs none.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from app.clock import now_ms
from app.crashing import CrashPoints
from app.cursors import page_and_cursor
from app.errors import StateConflict, TaskNotFound
from app.ledger.paging import place_of
from app.ledger.records import QuarantineRecord
from app.names import QueueName
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.receipt import Receipt
from app.task_queue.recording import ANONYMOUS, Recorder
from app.task_queue.request import Prepared
from app.task_queue.views import ShownPage, quarantined_copy

NOBODY: Final = ""
"""The tenant of what cannot be read."""
REQUEUED: Final = "requeued"
DISCARDED: Final = "discarded"


class Quarantine:
    """Shows what lies there and empties it, copy by copy."""

    def __init__(
        self,
        ledger: LedgerGate,
        recorder: Recorder,
        submit: Callable[[Prepared], Awaitable[Receipt]],
        tenant: str,
        crashes: CrashPoints,
        *,
        mirrored: bool,
    ) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._submit = submit
        self._tenant = tenant
        self._crashes = crashes
        self._mirrored = mirrored

    async def listed(self, cursor: str | None, limit: int) -> ShownPage:
        """A page of what lies there, the latest first, and the next page's cursor.

        Also what nobody can say whose it is.

        Raises:
            InvalidTask: the cursor is none of this list.
            Unavailable: the ledger is away.
        """
        records = await self._ledger.quarantined(
            limit + 1, tenants=(NOBODY, self._tenant), after=place_of(cursor)
        )
        page, after = page_and_cursor(records, limit, lambda each: (each.at_ms, each.id))
        return [quarantined_copy(each) for each in page], after

    async def requeue(self, id: str, judge: Callable[[bytes], Prepared]) -> Receipt:
        """Accept the envelope of a copy, unchanged; ``judge`` reads it as a submit.

        Raises:
            TaskNotFound: nothing lies there under this id.
            StateConflict: it was discarded.
            EnvelopeError, InvalidTask, TooLarge: it is no envelope that can be accepted.
            IdempotencyConflict: another request has its task id.
            DurabilityNotReached: it has no other copy yet, so it stays.
            Unavailable: a store is away.
        """
        record = await self._get(id, REQUEUED)
        prepared = judge(record.body)
        if self._mirrored:
            prepared = replace(prepared, durability="mirrored", on_degraded="refuse")
        receipt = await self._submit(prepared)
        self._crashes.reach("api.after_requeue")
        await self._resolve(record, REQUEUED)
        return receipt

    async def discard(self, id: str) -> dict[str, Any]:
        """Let a copy go for good.

        Raises:
            TaskNotFound: nothing lies there under this id.
            StateConflict: it was accepted again.
            Unavailable: the ledger is away.
        """
        record = await self._get(id, DISCARDED)
        await self._resolve(record, DISCARDED)
        return quarantined_copy(replace(record, resolution=DISCARDED))

    async def _get(self, id: str, resolution: str) -> QuarantineRecord:
        record = await self._ledger.get_quarantined(id)
        if record is None or not self._is_ours(record):
            raise TaskNotFound(f"Nothing lies in the quarantine under {id}.")
        if record.resolution not in (None, resolution):
            raise StateConflict(f"The copy {id} was {record.resolution} before.")
        return record

    async def _resolve(self, record: QuarantineRecord, resolution: str) -> None:
        if not await self._ledger.resolve_quarantined(record.id, resolution, ANONYMOUS, now_ms()):
            raise StateConflict(f"The copy {record.id} was resolved otherwise just now.")
        self._crashes.reach("api.after_resolve")
        if record.resolution is None:
            name = QueueName(record.tenant or self._tenant, record.queue)
            await self._recorder.record(f"quarantine.{resolution}", name, {"id": record.id}, 1)

    def _is_ours(self, record: QuarantineRecord) -> bool:
        return record.tenant in (NOBODY, self._tenant)
