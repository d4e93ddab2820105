"""Doing what was decided about copies: settle, ack, restore, quarantine.

Each act may be repeated, so a failure in between leaves copies in hand that are looked at again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from app.broker.delivery import Settle
from app.broker.recovery import Restore as RestoreWish
from app.errors import Unavailable
from app.names import QueueName, TaskKey
from app.state import TaskState
from rehydrator.decision import ID_CONFLICT, Ack, Hold, Quarantine, Restore, Verdict
from rehydrator.holdings import Held, Holdings, Suspect, by_queue
from rehydrator.quarantine import quarantine
from rehydrator.rate import Rate
from rehydrator.redis_queue import RedisQueue, Stores
from rehydrator.source import CopySource

log = logging.getLogger(__name__)

RESTORE_BYTES_MAX: Final = 4 * 1_048_576
"""Bytes of envelopes in one call: Redis does nothing else meanwhile."""

# One wish after the other: a call of a tuple's class costs twice as much.
_new: Final = tuple.__new__


class BodiesNeeded(Exception):
    """A held copy must be restored or quarantined, and its bytes were dropped: fetch them anew.

    ``lost``: queues in which tasks that were there are there no more.
    """

    def __init__(self, lost: frozenset[RedisQueue]) -> None:
        self.lost = lost
        super().__init__("the bytes of held copies are needed")


class Notes(Protocol):
    """Whoever counts what became of copies; ``outcome`` as in the report of a run."""

    def note(self, keys: Sequence[TaskKey], outcome: str) -> None:
        """Copies of these tasks were looked at to the end, or have left."""


def nothing(_queue: RedisQueue) -> bool:
    """Holds nothing back."""
    return False


class Actions:
    """The acts on one opened source.

    ``dry``: nothing is done, only noted. ``holds_back``: of which queues nothing may be restored.
    """

    def __init__(
        self,
        stores: Stores,
        source: CopySource,
        holdings: Holdings,
        notes: Notes,
        rate: Rate,
        *,
        dry: bool = False,
        holds_back: Callable[[RedisQueue], bool] = nothing,
    ) -> None:
        self._stores = stores
        self._crashes = stores.crashes
        self._source = source
        self._holdings = holdings
        self._notes = notes
        self._rate = rate
        self._dry = dry
        self._clearing = asyncio.Lock()
        self._holds_back = holds_back

    async def act(self, copies: Sequence[Held], verdicts: Sequence[Verdict]) -> None:
        """Act on copies as decided.

        Raises:
            BodiesNeeded: after all other acts; the source must be opened anew.
            StaleGeneration: the verdicts are void.
            Unavailable: a store is away; some acts may be done.
        """
        acks: list[tuple[Held, Ack]] = []
        restores: dict[RedisQueue, list[tuple[Held, Restore]]] = {}
        conflicts: list[tuple[Held, Quarantine]] = []
        present: list[Held] = []
        for copy, verdict in zip(copies, verdicts, strict=True):
            match verdict:
                case Restore():
                    restores.setdefault(copy.queue, []).append((copy, verdict))
                case Ack():
                    acks.append((copy, verdict))
                case Quarantine():
                    conflicts.append((copy, verdict))
                case Hold(known=True):
                    present.append(copy)
        for queue in filter(self._holds_back, list(restores)):
            self._holdings.keep([copy for copy, _ in restores.pop(queue)])
        self._keep(present, "present")
        await self._retire(acks)
        lost = frozenset(
            queue
            for queue, group in restores.items()
            if any(copy.delivery is None for copy, _ in group)
        )
        if lost or any(copy.delivery is None for copy, _ in conflicts):
            raise BodiesNeeded(lost)
        await self._restore(restores)
        for copy, conflict in conflicts:
            self._conflict(copy, conflict.detail)

    async def clear_suspects(self) -> None:
        """Put what is suspect into the quarantine.

        Raises:
            Unavailable: the ledger or the broker is away.
        """
        if not self._holdings.suspects:
            return
        async with self._clearing:
            # Somebody else may have done it meanwhile.
            if suspects := self._holdings.suspects:
                await self._clear(suspects)

    async def _clear(self, suspects: Sequence[Suspect]) -> None:
        safe = suspects if self._dry else await quarantine(self._stores, suspects)
        if not self._dry:
            await self._source.ack([each.delivery for each in safe])
        self._holdings.drop(safe)
        for suspect in safe:
            log.warning("%s: a copy of %s: %s", *_words(suspect))
            key = TaskKey(suspect.tenant, suspect.queue, suspect.task_id)
            self._notes.note([key], "quarantined")

    def _keep(self, copies: Iterable[Held], outcome: str) -> None:
        kept = [copy for copy in copies if copy.delivery is not None]
        self._holdings.keep(kept)
        self._notes.note([copy.key for copy in kept], outcome)

    async def _retire(self, acks: Sequence[tuple[Held, Ack]]) -> None:
        """Rule 12: the ledger has them; then Redis; then the copies."""
        if not acks:
            return
        if not self._dry:
            verdicts = dict(acks)
            self._crashes.reach("rehydrator.before_settle")
            for queue, group in by_queue(verdicts).items():
                await _settle(queue, [(copy, verdicts[copy]) for copy in group])
            self._crashes.reach("rehydrator.before_ack")
            await self._source.ack(verdicts)
            self._crashes.reach("rehydrator.after_ack")
        self._holdings.drop([copy for copy, _ in acks])
        for copy, verdict in acks:
            self._notes.note([copy.key], _outcome_of(verdict.state))
        if not self._dry:
            await _count([copy for copy, _ in acks])

    async def _restore(self, restores: Mapping[RedisQueue, Sequence[tuple[Held, Restore]]]) -> None:
        for queue, group in restores.items():
            for part in _by_bytes(group):
                if self._dry:
                    self._keep([copy for copy, _ in part], "restored")
                    continue
                async for some in self._rate.parts(part):
                    await self._restore_some(queue, some)

    async def _restore_some(
        self, queue: RedisQueue, restores: Sequence[tuple[Held, Restore]]
    ) -> None:
        token = await queue.session.token()
        self._crashes.reach("rehydrator.before_restore")
        answers = await queue.recovery.restore(
            token,
            [
                _new(RestoreWish, (copy.envelope, wish.attempts_ended, wish.due_ms))
                for copy, wish in restores
                if copy.envelope is not None
            ],
        )
        self._crashes.reach("rehydrator.after_restore")
        found: dict[str, list[Held]] = {"restored": [], "present": []}
        for (copy, _), answer in zip(restores, answers, strict=True):
            if answer == "conflict":
                self._conflict(copy, "Redis holds another request under this task id.")
            else:
                found["restored" if answer == "restored" else "present"].append(copy)
        for outcome, copies in found.items():
            self._keep(copies, outcome)

    def _conflict(self, copy: Held, detail: str) -> None:
        if copy.delivery is not None:
            name: QueueName = copy.queue.name
            suspect = Suspect(
                copy.delivery, ID_CONFLICT, detail, name.tenant, name.queue, copy.task_id
            )
            self._holdings.suspect(suspect, copy)


async def _settle(queue: RedisQueue, acks: Sequence[tuple[Held, Ack]]) -> None:
    settles = [
        Settle(copy.task_id, 0, "", ack.run, TaskState(ack.state))
        for copy, ack in acks
        if ack.settle
    ]
    if settles:
        await queue.settle(settles)


async def _count(retired: Sequence[Held]) -> None:
    for queue, group in by_queue(retired).items():
        # They have left: a count that is not taken now never is.
        with suppress(Unavailable):
            await queue.count_retired([copy.task_id for copy in group])


def _outcome_of(state: str) -> str:
    return state if state in ("cancelled", "expired") else "finished"


def _by_bytes(restores: Sequence[tuple[Held, Restore]]) -> list[list[tuple[Held, Restore]]]:
    found: list[list[tuple[Held, Restore]]] = []
    room = 0
    for restore in restores:
        copy, _ = restore
        size = len(copy.envelope.raw) if copy.envelope is not None else 0
        if not found or size > room:
            found.append([])
            room = RESTORE_BYTES_MAX
        found[-1].append(restore)
        room -= size
    return found


def _words(suspect: Suspect) -> tuple[str, str, str]:
    return suspect.reason, f"{suspect.tenant}/{suspect.queue}/{suspect.task_id}", suspect.detail
