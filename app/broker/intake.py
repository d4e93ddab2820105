"""The producer's verbs: enqueue, redrive, look, list, and whether a copy is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from app.broker.connection import Argument, RedisConnection
from app.broker.keys import QueueKeys
from app.broker.listing import list_open
from app.envelope import DEFAULT_PRIORITY, PRIORITIES, Envelope
from app.state import TaskState

FSYNC_WITHIN_MS: Final = 2_000
"""Redis fsyncs each second where it does so at all."""
DEFAULT_LANE: Final = PRIORITIES.index(DEFAULT_PRIORITY) + 1
"""That of an envelope without options."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A task to be accepted. ``fresh``: its id was made by this very submit (rule 7)."""

    envelope: Envelope
    fresh: bool


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What was done with one task; ``state`` is empty for a queue that is full."""

    outcome: Literal["created", "duplicate", "conflict", "full"]
    state: str
    journal_id: str
    mirrored: bool
    run: int
    fsynced: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """A task as Redis knows it: its hash, decoded, and its envelope while it is open."""

    fields: dict[str, str]
    envelope: bytes | None


class Intake:
    """Verbs of producers on one queue."""

    def __init__(
        self,
        redis: RedisConnection,
        keys: QueueKeys,
        *,
        queue_max: int,
        unmirrored_max: int | None,
    ) -> None:
        """``unmirrored_max`` is None where nothing is mirrored: nothing is journaled then."""
        self._redis = redis
        self._keys = keys
        self._limits = (queue_max, -1 if unmirrored_max is None else unmirrored_max)

    async def enqueue(
        self,
        token: str,
        submissions: Sequence[Submission],
        *,
        fsync: bool = False,
        within_ms: int = FSYNC_WITHIN_MS,
    ) -> list[Enqueued]:
        """Accept tasks, each at most once: repeating the call changes nothing.

        ``fsync``: waits up to ``within_ms`` more, see ``Enqueued.fsynced``.

        Raises:
            DurabilityUnsupported: ``fsync`` cannot be had from this Redis; nothing was accepted.
        """
        keys = self._keys
        names = [
            keys.generation,
            keys.journal,
            keys.delayed,
            *keys.lanes,
            keys.rates,
            keys.coverage,
        ]
        arguments: list[Argument] = [token, TaskState.QUEUED, TaskState.SCHEDULED, *self._limits]
        for submission in submissions:
            envelope = submission.envelope
            names.append(keys.task(envelope.task_id))
            arguments += (
                envelope.task_id,
                envelope.request_digest,
                envelope.run,
                int(submission.fresh),
                lane_of(envelope),
                envelope.not_before_ms,
                envelope.accepted_at_ms,
                envelope.raw,
            )
        if fsync:
            replies, fsynced = await self._redis.script_fsynced(
                "enqueue", names, arguments, within_ms
            )
            return [_enqueued(reply, fsynced=fsynced) for reply in replies]
        replies = await self._redis.script("enqueue", names, arguments)
        return [_enqueued(reply) for reply in replies]

    async def redrive(self, token: str, submissions: Sequence[Submission]) -> list[Enqueued]:
        """Make the next runs of parked tasks; each envelope says its run. Repeatable.

        ``duplicate``: that run or a later one is here already, see ``Enqueued.run``.
        """
        keys = self._keys
        names = [
            keys.generation,
            keys.journal,
            keys.delayed,
            *keys.lanes,
            keys.retrying,
            keys.coverage,
        ]
        arguments: list[Argument] = [token, TaskState.QUEUED, TaskState.SCHEDULED, *self._limits]
        for submission in submissions:
            envelope = submission.envelope
            names.append(keys.task(envelope.task_id))
            arguments += (
                envelope.task_id,
                envelope.request_digest,
                envelope.run,
                lane_of(envelope),
                envelope.not_before_ms,
                envelope.accepted_at_ms,
                envelope.raw,
            )
        replies = await self._redis.script("redrive", names, arguments)
        return [_enqueued(reply) for reply in replies]

    async def look(self, token: str, task_ids: Sequence[str]) -> list[Sighting | None]:
        """Tasks as Redis knows them, None where it knows none."""
        keys = self._keys
        names = [keys.generation, *keys.lanes, *(keys.task(task_id) for task_id in task_ids)]
        replies = await self._redis.script("look", names, [token])
        return [_sighting(*reply) for reply in replies]

    async def list_open(
        self, token: str, state: TaskState, cursor: str, limit: int
    ) -> tuple[list[str], str]:
        """Ids of tasks in one open state and the cursor of the next page.

        ``cursor`` is '' for the first page; '' comes back with the last. A page may be short, or
        empty, before the end. Running: handed to a worker, be it that it starts in a moment.

        Raises:
            InvalidTask: not a cursor that such a list gave.
        """
        return await list_open(self._redis, self._keys, token, state, cursor, limit)

    async def mirrored(
        self, token: str, tasks: Sequence[tuple[str, int]], digests: Sequence[str] = ()
    ) -> list[bool | None]:
        """Whether (task id, run) carries the mark of a confirmed copy; None: no such hash.

        ``digests``: their request digests, so that another request under the id is none either.
        """
        keys = self._keys
        names = [keys.generation, *(keys.task(task_id) for task_id, _ in tasks)]
        arguments: list[Argument] = [token]
        for (_, run), digest in zip(tasks, digests or [""] * len(tasks), strict=True):
            arguments += (run, digest)
        replies = await self._redis.script("marks", names, arguments)
        return [None if reply < 0 else reply == 1 for reply in replies]

    async def mark_cancel(self, token: str, task_id: str) -> tuple[int, str, bool] | None:
        """Mark a task as cancelled: (run, request digest, was it open), None if unknown here."""
        keys = self._keys
        reply = await self._redis.script(
            "mark_cancel",
            [keys.generation, keys.task(task_id)],
            [token, TaskState.RUNNING, keys.cancelled_channel, task_id],
        )
        return (int(reply[0]), reply[1].decode(), reply[2] != b"") if reply else None


def lane_of(envelope: Envelope) -> int:
    """The number of the ready stream an envelope's priority names, 1 = high."""
    return PRIORITIES.index(envelope.priority) + 1


def _enqueued(reply: list[bytes], *, fsynced: bool = False) -> Enqueued:
    outcome, state, journal_id, mirrored, run = (part.decode() for part in reply)
    return Enqueued(
        outcome=cast(Literal["created", "duplicate", "conflict", "full"], outcome),
        state=state,
        journal_id=journal_id,
        mirrored=mirrored == "1",
        run=int(run or 0),
        fsynced=fsynced and outcome in ("created", "duplicate"),
    )


def _sighting(flat: list[bytes], envelope: bytes) -> Sighting | None:
    if not flat:
        return None
    pairs = zip(flat[::2], flat[1::2], strict=True)
    fields = {name.decode(): value.decode() for name, value in pairs if name != b"envelope"}
    return Sighting(fields, envelope or None)
