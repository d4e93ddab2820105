"""Cancelling: the mark in Redis, then the ledger, then Redis again (rule 8).

Only a write that the ledger took is a cancel. Between mark and write whoever meets the mark (a
worker at start or retry) finishes the task as cancelled, so a caller that was left in doubt may
simply ask again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from app.broker.delivery import Settle
from app.broker.intake import Sighting
from app.clock import now_ms
from app.crashing import NOWHERE, CrashPoints
from app.envelope import decode
from app.errors import StateConflict, Unavailable
from app.ledger.records import About, AttemptRecord, Finish, FinishedPart, FinishResult
from app.names import QueueName, TaskKey, new_token
from app.state import OPEN, TaskState
from app.task_queue.finding import Located
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue

log = logging.getLogger(__name__)

TASKS_A_STEP: Final = 500
CLEARED: Final = (TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RETRYING)


class Canceller:
    """Cancels single tasks and whole queues."""

    def __init__(
        self,
        ledger: LedgerGate,
        queue_of: Callable[[QueueName], OpenQueue],
        crashes: CrashPoints = NOWHERE,
        *,
        mirrored: bool,
    ) -> None:
        """``mirrored``: there are copies, so tasks may be on their way back into Redis."""
        self._ledger = ledger
        self._queue_of = queue_of
        self._crashes = crashes
        self._mirrored = mirrored

    async def cancel(self, found: Located) -> bool:
        """Cancel a task; False: it moved meanwhile, look again.

        Raises:
            StateConflict: it has ended, or waits among the dead.
            Unavailable: a store is away; the mark may stand.
        """
        if found.state == TaskState.CANCELLED:
            await self._settle_again(found)
            return True
        if found.state == TaskState.SUSPENDED:
            return await self._leave_parked(found)
        if found.state not in OPEN or found.sighting is None:
            raise StateConflict(f"Task {found.key.task_id} is {found.state}: it has ended.")
        return await self._cancel_open(found.key, found.sighting)

    async def clear(self, name: QueueName) -> int:
        """Cancel every task of a queue that has not started; how many.

        Raises:
            Unavailable: a store is away, or tasks are still being brought back. What was cancelled
                until then stays so.
        """
        queue = self._queue_of(name)
        token = await queue.session.token()
        if self._mirrored and await queue.is_pending(token):
            raise Unavailable("redis", "its tasks are being brought back: clear it after that")
        cancelled = 0
        for state in CLEARED:
            cursor, more = "", True
            while more:
                ids, cursor = await queue.intake.list_open(token, state, cursor, TASKS_A_STEP)
                cancelled += await self._cancel_listed(queue, token, ids)
                more = cursor != ""
        return cancelled

    async def _settle_again(self, found: Located) -> None:
        """Whoever cancelled it may not have come to Redis, which would show it as open."""
        if found.sighting is not None and found.sighting.envelope:
            queue = self._queue_of(found.name)
            await _settle(queue, await queue.session.token(), found.key.task_id, found.run)

    async def _leave_parked(self, found: Located) -> bool:
        record = found.record
        if record is None or record.finished is None:
            return False
        write = _finish(found.key, record.envelope or b"", found.run + 1, None, record.finished)
        (result,) = await self._ledger.finish([write])
        self._crashes.reach("api.after_cancelled")
        return _is_in_force(write, result)

    async def _cancel_open(self, key: TaskKey, sighting: Sighting) -> bool:
        queue = self._queue_of(QueueName(key.tenant, key.queue))
        token = await queue.session.token()
        self._crashes.reach("api.before_mark")
        mark = await queue.intake.mark_cancel(token, key.task_id)
        self._crashes.reach("api.after_mark")
        write = _cancelled(key, sighting)
        if mark is None or mark[0] != write.finished.run or not mark[2]:
            return False
        (result,) = await self._ledger.finish([write])
        if not _is_in_force(write, result):
            raise StateConflict(f"Task {key.task_id} was {result.state} before the cancel came.")
        self._crashes.reach("api.after_cancelled")
        await _settle(queue, token, key.task_id, write.finished.run)
        self._crashes.reach("api.after_settle")
        return True

    async def _cancel_listed(self, queue: OpenQueue, token: str, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        sightings = await queue.intake.look(token, ids)
        writes = [
            _cancelled(queue.name.task(task_id), sighting)
            for task_id, sighting in zip(ids, sightings, strict=True)
            if sighting and sighting.envelope and sighting.fields.get("state") in CLEARED
        ]
        self._crashes.reach("api.before_mark")
        marks = await asyncio.gather(
            *(queue.intake.mark_cancel(token, each.key.task_id) for each in writes)
        )
        marked = [
            write
            for write, mark in zip(writes, marks, strict=True)
            if mark is not None and mark[0] == write.finished.run and mark[2]
        ]
        if not marked:
            return 0
        self._crashes.reach("api.after_mark")
        results = await self._ledger.finish(marked)
        self._crashes.reach("api.after_cancelled")
        taken = [
            write
            for write, result in zip(marked, results, strict=True)
            if _is_in_force(write, result)
        ]
        settles = [_settled(write.key.task_id, write.finished.run) for write in taken]
        await queue.delivery.settle(token, settles)
        self._crashes.reach("api.after_settle")
        return len(taken)


def _cancelled(key: TaskKey, sighting: Sighting) -> Finish:
    """What the ledger is to hold of an open task; a running attempt ends with it."""
    fields, run = sighting.fields, int(sighting.fields["run"])
    attempt = None
    if fields.get("state") == TaskState.RUNNING:
        attempt = AttemptRecord(
            run=run,
            attempt=int(fields.get("attempt", 0)),
            worker=fields.get("worker", ""),
            started_at=int(fields.get("started", 0)),
            finished_at=now_ms(),
            outcome="cancelled",
        )
    return _finish(key, sighting.envelope or b"", run, attempt, None, int(fields.get("attempt", 0)))


def _finish(
    key: TaskKey,
    raw: bytes,
    run: int,
    attempt: AttemptRecord | None,
    parked: FinishedPart | None,
    attempts: int = 0,
) -> Finish:
    envelope = decode(raw)
    return Finish(
        key=key,
        request_digest=envelope.request_digest,
        envelope=raw,
        finished=FinishedPart(
            run=run,
            state=TaskState.CANCELLED,
            at_ms=now_ms(),
            by=new_token(),
            attempt=attempts,
            result=None,
            error=parked.error if parked else None,
        ),
        about=About.of(envelope),
        attempt=attempt,
    )


def _is_in_force(write: Finish, result: FinishResult) -> bool:
    """Also where whoever met the mark was first: what was asked for is so."""
    return result.won or (result.run == write.finished.run and result.state == TaskState.CANCELLED)


async def _settle(queue: OpenQueue, token: str, task_id: str, run: int) -> None:
    try:
        await queue.delivery.settle(token, [_settled(task_id, run)])
    except Unavailable as error:
        # The ledger has it: whoever meets the task in Redis settles it there.
        log.debug("Redis is to learn of a cancel later: %s", error)


def _settled(task_id: str, run: int) -> Settle:
    return Settle(task_id, 0, "", run, TaskState.CANCELLED)
