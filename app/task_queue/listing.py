"""The tasks of a queue as one list: the open ones out of Redis, then the finished ones.

A page's cursor says which part of the list comes next: the state, and the cursor of the store that
has it.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

from app.broker.intake import Sighting
from app.cursors import no_cursor, read_cursor, write_cursor
from app.envelope import decode
from app.errors import Unavailable
from app.ledger.records import LedgerRecord, RecordQuery
from app.names import QueueName, TaskKey
from app.state import FINISHED, OPEN, TaskState
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue
from app.task_queue.views import Shown, ShownPage, finished_task, open_task

LOOKS_A_PAGE: Final = 10
"""A type that few tasks have must not make one call walk a whole queue: the page is short then."""
LOOKED_AT: Final = 200
"""Tasks a look, where only those of a type are wanted: fewer if too many of them are of it."""
FINISHED_PART: Final = "finished"
ORDER: Final = tuple(state for state in TaskState if state in OPEN)


class Listing:
    """Lists the tasks of one queue at a time."""

    def __init__(self, ledger: LedgerGate, queue_of: Callable[[QueueName], OpenQueue]) -> None:
        self._ledger = ledger
        self._queue_of = queue_of

    async def tasks(
        self,
        name: QueueName,
        state: TaskState | None,
        type: str | None,
        cursor: str | None,
        limit: int,
    ) -> ShownPage:
        """A page, and the next page's cursor (None: this is the last).

        Raises:
            InvalidTask: the cursor is none of this list.
            Unavailable: the store that has this part of the list is away.
        """
        parts = _parts(state)
        part, inner = _read(cursor) if cursor else (parts[0], "")
        if part not in parts:
            raise no_cursor()
        found: list[Shown] = []
        for _ in range(LOOKS_A_PAGE):
            room = limit - len(found)
            if part == FINISHED_PART:
                items, inner = await self._finished(name, state, type, inner, room)
            else:
                wanted = frozenset({state}) if state else OPEN
                items, inner = await self._open(name, TaskState(part), wanted, type, inner, room)
            found += items
            if not inner:
                place = parts.index(part) + 1
                if place == len(parts):
                    return found, None
                part = parts[place]
            if len(found) >= limit:
                break
        return found, write_cursor(part, inner)

    async def _open(
        self,
        name: QueueName,
        part: TaskState,
        wanted: Collection[TaskState],
        type: str | None,
        cursor: str,
        limit: int,
    ) -> tuple[list[Shown], str]:
        """Up to ``limit`` tasks, and the cursor behind what was looked at."""
        size = limit if type is None else max(limit, LOOKED_AT)
        while True:
            looked, after = await self._look(name, part, cursor, size)
            found = [each for each in looked if _is_wanted(each[1], wanted, type)]
            if len(found) <= limit:
                break
            # Only what was looked at as a whole has a cursor behind it.
            size = max(limit, size // 4)
        records = await self._records(found)
        return [open_task(key, seen, records.get(key)) for key, seen in found], after

    async def _look(
        self, name: QueueName, part: TaskState, cursor: str, size: int
    ) -> tuple[list[tuple[TaskKey, Sighting]], str]:
        """Of the next ``size`` tasks those that are still there, and the cursor behind all."""
        queue = self._queue_of(name)

        async def call(token: str) -> tuple[list[str], list[Sighting | None], str]:
            ids, after = await queue.intake.list_open(token, part, cursor, size)
            return ids, await queue.intake.look(token, ids) if ids else [], after

        ids, sightings, after = await queue.under_token(call)
        found = zip(ids, sightings, strict=True)
        return [(name.task(task_id), seen) for task_id, seen in found if seen], after

    async def _records(
        self, found: Sequence[tuple[TaskKey, Sighting]]
    ) -> dict[TaskKey, LedgerRecord]:
        """The history of those that have one; left out where the ledger is away."""
        keys = [
            key
            for key, seen in found
            if seen.fields.get("attempt", "0") != "0" or seen.fields.get("run") != "1"
        ]
        try:
            records = await asyncio.gather(*(self._ledger.get(key) for key in keys))
        except Unavailable:
            return {}
        return {each.key: each for each in records if each is not None}

    async def _finished(
        self, name: QueueName, state: TaskState | None, type: str | None, cursor: str, limit: int
    ) -> tuple[list[Shown], str]:
        query = RecordQuery(
            tenant=name.tenant,
            queue=name.queue,
            states=frozenset({str(state)} if state else map(str, FINISHED)),
            type=type,
            cursor=cursor or None,
            limit=limit,
        )
        page = await self._ledger.search(query)
        shown = [finished_task(r.key, r, r.finished) for r in page.items if r.finished]
        return shown, page.cursor or ""


def _is_wanted(seen: Sighting, states: Collection[TaskState], type: str | None) -> bool:
    return (
        bool(seen.envelope)
        and seen.fields.get("state") in states
        and (type is None or decode(seen.envelope or b"").type == type)
    )


def _parts(state: TaskState | None) -> tuple[str, ...]:
    if state is None:
        return (*map(str, ORDER), FINISHED_PART)
    if state is TaskState.QUEUED:
        # A worker may have it already, and not have started it.
        return (str(state), str(TaskState.RUNNING))
    return (FINISHED_PART,) if state in FINISHED else (str(state),)


def _read(cursor: str) -> tuple[str, str]:
    match read_cursor(cursor):
        case [str(part), str(inner)]:
            return part, inner
        case _:
            raise no_cursor()
