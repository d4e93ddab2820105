"""Redriving: a parked task gets its next run; discarding: it gets none.

The old record stays what the ledger shows until a copy of the next run is confirmed: before that a
loss of Redis must leave the task parked, not gone.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel

from app.broker.delivery import Settle
from app.broker.intake import Enqueued, Sighting, Submission
from app.clock import now_ms
from app.crashing import NOWHERE, CrashPoints
from app.envelope import Envelope, decode, encode
from app.errors import InvalidTask, QueueFull, StateConflict, Unavailable
from app.ledger.records import About, Finish, FinishedPart, LedgerRecord
from app.names import QueueName, TaskKey, new_token
from app.settings import Settings
from app.state import OPEN, TaskState
from app.task_queue.finding import Located
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue
from app.task_queue.request import check_envelope_size, payload_problems

log = logging.getLogger(__name__)

Parked = Literal["dead", "suspended"]
VERBS: Final[Mapping[Parked, str]] = {"dead": "retry", "suspended": "resume"}

Payload = dict[str, Any]


class Redriver:
    """Moves tasks out of their parked states."""

    def __init__(
        self,
        ledger: LedgerGate,
        queue_of: Callable[[QueueName], OpenQueue],
        settings: Settings,
        payloads: Mapping[str, type[BaseModel]],
        crashes: CrashPoints = NOWHERE,
    ) -> None:
        """``payloads``: models of the types whose payloads are judged before they run."""
        self._ledger = ledger
        self._queue_of = queue_of
        self._payloads = payloads
        self._crashes = crashes
        self._mirrored = settings.rabbitmq_url is not None
        self._confirm_timeout_ms = settings.confirm_timeout_ms
        self._envelope_bytes_max = settings.limit_envelope

    async def redrive(self, found: Located, expect: Parked, payload: Payload | None) -> None:
        """Start the next run of one task; nothing where it was started before.

        Raises:
            StateConflict: it is not parked in ``expect``.
            InvalidTask, TooLarge: the new payload breaks a rule.
            QueueFull: back-pressure.
            Unavailable: a store is away; the run may have been started.
        """
        queue = self._queue_of(found.name)
        if found.state == expect and found.record is not None:
            await self.redrive_many(queue, [found.record], payload, refuse_when_full=True)
        elif found.state in OPEN and found.run > 1 and found.sighting is not None:
            await self._note_again(queue, found.key, found.sighting)
        else:
            raise StateConflict(
                f"Task {found.key.task_id} is {found.state}: only a task that is {expect} can be"
                f" given to {VERBS[expect]}."
            )

    async def redrive_many(
        self,
        queue: OpenQueue,
        records: Sequence[LedgerRecord],
        payload: Payload | None = None,
        *,
        refuse_when_full: bool = False,
    ) -> int:
        """Start the next runs of parked tasks of one queue; how many are started now."""
        at_ms = now_ms()
        submissions = [Submission(self._next_run(each, payload, at_ms), False) for each in records]

        async def call(token: str) -> tuple[str, list[Enqueued]]:
            return token, await queue.intake.redrive(token, submissions)

        self._crashes.reach("api.before_redrive")
        token, enqueued = await queue.under_token(call)
        self._crashes.reach("api.after_redrive")
        if refuse_when_full and any(each.outcome == "full" for each in enqueued):
            raise QueueFull(
                f"Queue {queue.name.queue} holds as many open or unmirrored tasks as it may"
                " (LIFEBOAT_QUEUE_MAX, LIFEBOAT_UNMIRRORED_MAX): try again later."
            )
        started = [
            (record.key, record.request_digest, each)
            for record, each in zip(records, enqueued, strict=True)
            if each.outcome in ("created", "duplicate")
        ]
        await self._note(queue, token, started)
        return len(started)

    async def _note_again(self, queue: OpenQueue, key: TaskKey, sighting: Sighting) -> None:
        """What an earlier call may not have come to."""
        fields = sighting.fields
        here = Enqueued(
            outcome="duplicate",
            state=fields.get("state", ""),
            journal_id=fields.get("jid", ""),
            mirrored=fields.get("mirrored") == "1",
            run=int(fields["run"]),
        )
        digest = fields.get("digest", "")
        await self._note(queue, await queue.session.token(), [(key, digest, here)])

    async def discard_many(self, queue: OpenQueue, records: Sequence[LedgerRecord]) -> int:
        """End parked tasks of one queue for good; how many are discarded now."""
        ids = [each.key.task_id for each in records]
        seen = await queue.under_token(lambda token: queue.intake.look(token, ids)) if ids else []
        pairs = zip(records, seen, strict=True)
        writes = [_discarded(each) for each, here in pairs if not is_redriven(each, here)]
        if not writes:
            return 0
        results = await self._ledger.finish(writes)
        self._crashes.reach("api.after_discarded")
        done = [
            write
            for write, result in zip(writes, results, strict=True)
            if result.won or result.state == TaskState.DISCARDED
        ]
        await _settle(queue, done)
        return len(done)

    def _next_run(self, record: LedgerRecord, payload: Payload | None, at_ms: int) -> Envelope:
        envelope = next_run(record.key, record.envelope or b"", _run_of(record), payload, at_ms)
        if payload is not None:
            problems = payload_problems(envelope.type, payload, self._payloads)
            if problems:
                raise InvalidTask(*problems)
        check_envelope_size(envelope, self._envelope_bytes_max)
        return envelope

    async def _note(
        self, queue: OpenQueue, token: str, started: Sequence[tuple[TaskKey, str, Enqueued]]
    ) -> None:
        """Let the old records go where the next runs have their copies."""
        if not self._mirrored:
            return
        open_ones = [
            (key.task_id, each.run, digest, each.journal_id)
            for key, digest, each in started
            if not each.mirrored and each.state in OPEN
        ]
        confirmed = await self._confirm(queue, token, open_ones)
        noted = [
            (key, each.run) for key, _, each in started if each.mirrored or key.task_id in confirmed
        ]
        if noted:
            self._crashes.reach("api.before_note")
            await self._ledger.note_redriven(noted)
            self._crashes.reach("api.after_note")

    async def _confirm(
        self, queue: OpenQueue, token: str, tasks: Sequence[tuple[str, int, str, str]]
    ) -> set[str]:
        reached = await queue.confirmations.wait_for_all(token, tasks, self._confirm_timeout_ms)
        return {task_id for (task_id, *_), yes in zip(tasks, reached, strict=True) if yes}


def is_redriven(record: LedgerRecord, sighting: Sighting | None) -> bool:
    """Whether the run after a parked one was started, as the ledger or Redis tells. Pure."""
    seen_run = int(sighting.fields["run"]) if sighting and "run" in sighting.fields else 0
    return record.redriven or seen_run > _run_of(record)


def next_run(key: TaskKey, raw: bytes, run: int, payload: Payload | None, at_ms: int) -> Envelope:
    """The envelope of the run after ``run``: new but for what identifies the request. Pure.

    It starts at once, whatever the first run waited for.
    """
    old = decode(raw)
    return encode(
        key=key,
        type=old.type,
        payload=old.payload if payload is None else payload,
        context=old.context,
        options={name: value for name, value in old.options.items() if name != "notBefore"},
        run=run + 1,
        digest=old.request_digest,
        accepted_at_ms=at_ms,
    )


def _discarded(record: LedgerRecord) -> Finish:
    envelope = decode(record.envelope or b"")
    finished = record.finished
    return Finish(
        key=record.key,
        request_digest=record.request_digest,
        envelope=envelope.raw,
        finished=FinishedPart(
            run=_run_of(record) + 1,
            state=TaskState.DISCARDED,
            at_ms=now_ms(),
            by=new_token(),
            attempt=0,
            result=None,
            error=finished.error if finished else None,
        ),
        about=About.of(envelope),
    )


def _run_of(record: LedgerRecord) -> int:
    return record.finished.run if record.finished else 0


async def _settle(queue: OpenQueue, writes: Sequence[Finish]) -> None:
    """A redrive that raced this one lost: it must not lie in Redis until a worker asks."""
    settles = [
        Settle(each.key.task_id, 0, "", each.finished.run, TaskState.DISCARDED) for each in writes
    ]
    try:
        await queue.under_token(lambda token: queue.delivery.settle(token, settles))
    except Unavailable as error:
        log.debug("Redis is to learn of discards later: %s", error)
