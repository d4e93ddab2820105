"""Finding a task: Redis first, the ledger to be sure.

"There is none" is said only when both answered and nothing of the queue waits to be brought back;
everything less is a doubt, and a doubt is ``Unavailable``.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.broker.intake import Sighting
from app.clock import monotonic_ms
from app.errors import AmbiguousTask, ComingBack, TaskNotFound, Unavailable
from app.gather import Gatherer
from app.ledger.records import LedgerRecord
from app.names import QueueName, TaskKey
from app.state import TaskState
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue
from app.task_queue.views import finished_task, open_task

RECORDS_AT_A_TIME: Final = 64
LOOK_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class View:
    """What Redis says of one task. ``doubt``: why a "no" of Redis is none.

    ``pending``: Redis answered, but not everything was brought back yet.
    """

    key: TaskKey
    sighting: Sighting | None
    doubt: Unavailable | None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Located:
    """A task that was found: what each store knows of it, and how it is shown."""

    key: TaskKey
    sighting: Sighting | None
    record: LedgerRecord | None
    shown: dict[str, Any]

    @property
    def state(self) -> TaskState:
        """The state of its latest run."""
        return TaskState(self.shown["state"])

    @property
    def run(self) -> int:
        """The number of its latest run."""
        run: int = self.shown["run"]
        return run

    @property
    def name(self) -> QueueName:
        """The queue it is in."""
        return QueueName(self.key.tenant, self.key.queue)


class Finder:
    """Looks tasks up in both stores."""

    def __init__(
        self,
        ledger: LedgerGate,
        queue_of: Callable[[QueueName], OpenQueue],
        is_expected: Callable[[TaskKey], bool],
        gives_up: Callable[[], bool],
    ) -> None:
        """``is_expected``: whether a task was accepted that may not be in Redis yet.

        ``gives_up``: whether the process stops, so that nobody may wait any longer.
        """
        self._gives_up = gives_up
        self._is_expected = is_expected
        self._ledger = ledger
        self._queue_of = queue_of
        # Thousands may wake up at once, many of them for the same task.
        self._gets = Gatherer(self._get, max_items=RECORDS_AT_A_TIME)

    async def locate_by(
        self,
        task_id: str,
        names: Sequence[QueueName],
        until_ms: int,
        elsewhere: Unavailable | None = None,
    ) -> Located:
        """As ``locate``, but a task that is coming back is looked for again until ``until_ms``.

        Raises:
            ComingBack: it has not come by then, or the process stops.
        """
        while True:
            try:
                return await self.locate(task_id, names, elsewhere)
            except ComingBack:
                left_ms = until_ms - monotonic_ms()
                if left_ms <= 0 or self._gives_up():
                    raise
                await asyncio.sleep(min(left_ms / 1_000, LOOK_AGAIN_S))

    async def locate(
        self,
        task_id: str,
        names: Sequence[QueueName],
        elsewhere: Unavailable | None = None,
        *,
        surely: bool = False,
    ) -> Located:
        """The one task of this id; ``elsewhere``: why it may be in another queue than these.

        ``surely``: with the ledger's record, and with Redis asked.

        Raises:
            TaskNotFound: both stores say so.
            AmbiguousTask: several queues have it.
            ComingBack: no store is away, and it is being brought back.
            Unavailable: nobody can say now.
            LedgerMismatch: the process must stop.
        """
        views = await asyncio.gather(*(self._look(name, task_id) for name in names))
        asked = [view.key for view in views if surely or _needs_record(view)]
        records, away = await self._records(asked)
        if surely and away:
            raise away
        found: list[Located] = []
        doubt = elsewhere
        for view in views:
            record = records.get(view.key)
            answer = judge(view, record, away)
            if isinstance(answer, dict):
                if surely and view.doubt and view.sighting is None and not view.pending:
                    raise view.doubt
                found.append(Located(view.key, view.sighting, record, answer))
            else:
                doubt = answer or doubt
        if len(found) > 1:
            raise AmbiguousTask(task_id, tuple(each.key.queue for each in found))
        for each in found:
            return each
        if any(self._is_expected(view.key) for view in views):
            certain = doubt is None or isinstance(doubt, ComingBack)
            kind = ComingBack if certain else Unavailable
            raise kind("redis", "the task was accepted without it and is on its way there")
        raise doubt or TaskNotFound(f"There is no task {task_id}.")

    async def _look(self, name: QueueName, task_id: str) -> View:
        key = name.task(task_id)
        try:
            sighting, pending = await self._queue_of(name).look(task_id)
        except Unavailable as error:
            return View(key, None, error)
        doubt = ComingBack("redis", "its tasks are being brought back") if pending else None
        return View(key, sighting, doubt, pending)

    async def _records(
        self, keys: Sequence[TaskKey]
    ) -> tuple[Mapping[TaskKey, LedgerRecord], Unavailable | None]:
        try:
            # One cheap look tells which of many queues has it.
            known = await self._ledger.ask(keys) if len(keys) > 1 else keys
            records = [await self._gets.add(key) for key in known]
        except Unavailable as error:
            return {}, error
        return {record.key: record for record in records if record is not None}, None

    async def _get(self, keys: Sequence[TaskKey]) -> list[LedgerRecord | None]:
        unique = list(dict.fromkeys(keys))
        got = await asyncio.gather(*(self._ledger.get(key) for key in unique))
        records = dict(zip(unique, got, strict=True))
        return [records[key] for key in keys]


def judge(
    view: View, record: LedgerRecord | None, ledger_away: Unavailable | None
) -> dict[str, Any] | Unavailable | None:
    """The latest run as it is shown; why nobody can say; or None: there is no such task."""
    sighting = view.sighting
    finished = record.finished if record else None
    seen_run = int(sighting.fields["run"]) if sighting else 0
    if sighting and sighting.envelope and not (finished and finished.run >= seen_run):
        return open_task(view.key, sighting, record)
    if record and finished and finished.run >= max(seen_run, _open_run(record)):
        return finished_task(view.key, record, finished)
    if ledger_away or view.doubt:
        return ledger_away or view.doubt
    if sighting or record:
        # Known, and yet in neither store as a whole: between two stores, or lost and coming back.
        return ComingBack("redis", "the task is being brought back")
    return None


def _open_run(record: LedgerRecord) -> int:
    """The latest run that the ledger knows to be open, 0: none."""
    opened = record.open.run if record.open else 0
    redriven = record.finished.run + 1 if record.redriven and record.finished else 0
    return max(opened, redriven)


def _needs_record(view: View) -> bool:
    if view.sighting is None or not view.sighting.envelope:
        return True
    fields = view.sighting.fields
    first = fields.get("run") == "1" and fields.get("attempt", "0") == "0"
    return not first or fields.get("suspect") == "1"
