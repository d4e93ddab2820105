"""Dead and suspended tasks as lists: what a person sees, and what is done to many at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from app.errors import LifeboatError, Unavailable
from app.ledger.records import LedgerRecord, RecordQuery
from app.names import QueueName
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue
from app.task_queue.recording import Recorder
from app.task_queue.redriving import Parked, Payload, Redriver, is_redriven
from app.task_queue.views import ShownPage, finished_task

RECORDS_A_STEP: Final = 200
GETS_AT_A_TIME: Final = 50

Action = Literal["retry", "resume", "discard"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which parked tasks are meant; members that are None want nothing special.

    ``error`` is the type of the error; ``since_ms`` and ``until_ms`` are about when they were
    parked.
    """

    type: str | None = None
    error: str | None = None
    channel: str | None = None
    user: str | None = None
    chat_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def query(self, name: QueueName, state: Parked, cursor: str | None, limit: int) -> RecordQuery:
        """What the ledger is asked for."""
        return RecordQuery(
            tenant=name.tenant,
            queue=name.queue,
            states=frozenset({str(state)}),
            type=self.type,
            error=self.error,
            channel=self.channel,
            user=self.user,
            chat_id=self.chat_id,
            since_ms=self.since_ms,
            until_ms=self.until_ms,
            cursor=cursor,
            limit=limit,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """These tasks, or those that match; ``asked`` is how the caller said it, for the record."""

    ids: tuple[str, ...] | None
    filter: Filter
    asked: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Acted:
    """How many tasks were meant, and of how many what was asked for is so now."""

    matched: int
    done: int


class ParkedTasks:
    """The dead and the suspended of all queues."""

    def __init__(
        self,
        ledger: LedgerGate,
        redriver: Redriver,
        recorder: Recorder,
        queue_of: Callable[[QueueName], OpenQueue],
    ) -> None:
        self._ledger = ledger
        self._redriver = redriver
        self._recorder = recorder
        self._queue_of = queue_of

    async def listed(
        self, name: QueueName, state: Parked, wanted: Filter, cursor: str | None, limit: int
    ) -> ShownPage:
        """A page of them, the latest first, and the next page's cursor.

        Raises:
            InvalidTask: the cursor is none of this list.
            Unavailable: the ledger is away.
        """
        page = await self._ledger.search(wanted.query(name, state, cursor, limit))
        records = await self._still_parked(name, page.items)
        shown = [finished_task(r.key, r, r.finished) for r in records if r.finished]
        return shown, page.cursor

    async def act(
        self,
        name: QueueName,
        state: Parked,
        action: Action,
        selection: Selection,
        payload: Payload | None,
    ) -> Acted:
        """Redrive or discard what is selected.

        Raises:
            InvalidTask, TooLarge: the new payload breaks a rule.
            Unavailable: a store is away; what was done until then is done, the rest may be asked
                for again.
        """
        matched = done = 0
        try:
            async for records in self._batches(name, state, selection):
                matched += len(records)
                done += await self._do(name, action, records, payload)
        except LifeboatError:
            if done:
                with suppress(Unavailable):
                    await self._recorder.record(f"{state}.{action}", name, selection.asked, done)
            raise
        await self._recorder.record(f"{state}.{action}", name, selection.asked, done)
        return Acted(matched, done)

    async def _do(
        self,
        name: QueueName,
        action: Action,
        records: Sequence[LedgerRecord],
        payload: Payload | None,
    ) -> int:
        queue = self._queue_of(name)
        if action == "discard":
            return await self._redriver.discard_many(queue, records)
        return await self._redriver.redrive_many(queue, records, payload)

    async def _batches(
        self, name: QueueName, state: Parked, selection: Selection
    ) -> AsyncIterator[Sequence[LedgerRecord]]:
        if selection.ids is not None:
            ids = list(dict.fromkeys(selection.ids))
            for start in range(0, len(ids), GETS_AT_A_TIME):
                some = ids[start : start + GETS_AT_A_TIME]
                found = await asyncio.gather(*(self._ledger.get(name.task(i)) for i in some))
                yield [r for r in found if r and r.finished and r.finished.state == state]
            return
        query = selection.filter.query(name, state, None, RECORDS_A_STEP)
        while True:
            page = await self._ledger.search(query)
            if page.items:
                yield page.items
            if page.cursor is None:
                return
            query = replace(query, cursor=page.cursor)

    async def _still_parked(
        self, name: QueueName, records: Sequence[LedgerRecord]
    ) -> Sequence[LedgerRecord]:
        """Without those whose next run is in Redis, though the ledger was not told yet."""
        if not records:
            return records
        queue, ids = self._queue_of(name), [each.key.task_id for each in records]
        try:
            seen = await queue.under_token(lambda token: queue.intake.look(token, ids))
        except Unavailable:
            return records
        return [r for r, here in zip(records, seen, strict=True) if not is_redriven(r, here)]
