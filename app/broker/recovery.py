"""The rehydrator's verbs: inspect, restore, refresh."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, cast

from app.broker.connection import Argument, RedisConnection
from app.broker.intake import DEFAULT_LANE, lane_of
from app.broker.keys import QueueKeys
from app.envelope import Envelope
from app.state import TaskState


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task stands in Redis: open in its place, open without it, closed, or not there."""

    standing: Literal["present", "displaced", "settled", "absent"]
    run: int
    request_digest: str


Restored = Literal["restored", "present", "settled", "conflict"]
_RESTORED: Final[Mapping[bytes, Restored]] = {
    b"restored": "restored",
    b"present": "present",
    b"settled": "settled",
    b"conflict": "conflict",
}


class Restore(NamedTuple):
    """A task to bring back, with what the ledger's open record says of it."""

    envelope: Envelope
    attempts_ended: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """A copy that has lain too long: where it came from."""

    task_id: str
    run: int
    generation: str
    journal_id: str


class Recovery:
    """Verbs of the rehydrator on one queue of one tenant."""

    def __init__(self, redis: RedisConnection, keys: QueueKeys) -> None:
        self._redis = redis
        self._keys = keys

    async def inspect(self, token: str, task_ids: Sequence[str]) -> list[Standing]:
        """How tasks stand here."""
        keys, task = self._keys, self._keys.task("")
        names = [keys.generation, *keys.lanes, keys.delayed]
        names += [task + task_id for task_id in task_ids]
        replies = await self._redis.script("inspect", names, [token, *task_ids])
        return [
            Standing(cast(Any, standing.decode()), int(run), digest.decode())
            for standing, run, digest in replies
        ]

    async def restore(self, token: str, restores: Sequence[Restore]) -> list[Restored]:
        """Create what is absent, of a lower run, or without its place; suspect and mirrored."""
        keys, task = self._keys, self._keys.task("")
        names = [keys.generation, *keys.lanes, keys.delayed, keys.retrying]
        arguments: list[Argument] = [
            token,
            TaskState.QUEUED,
            TaskState.SCHEDULED,
            TaskState.RETRYING,
        ]
        for envelope, ended, retry_due_ms in restores:
            task_id, lane, due_ms = envelope.task_id, DEFAULT_LANE, retry_due_ms
            if envelope.options:
                lane, due_ms = lane_of(envelope), max(due_ms, envelope.not_before_ms)
            plan = _plan(envelope.run, lane, ended, due_ms)
            names.append(task + task_id)
            arguments += (task_id, plan, envelope.request_digest, envelope.raw)
        replies = await self._redis.script("restore", names, arguments)
        return [_RESTORED[reply] for reply in replies]

    async def refresh(self, token: str, copies: Sequence[Refresh]) -> list[str | None]:
        """Journal tasks again: the journal id to wait for, None where the task is not open."""
        keys = self._keys
        names = [keys.generation, keys.journal, *keys.lanes]
        arguments: list[Argument] = [token]
        for copy in copies:
            names.append(keys.task(copy.task_id))
            arguments += (copy.task_id, copy.run, copy.generation, copy.journal_id)
        replies = await self._redis.script("refresh", names, arguments)
        return [reply.decode() or None for reply in replies]

    async def refreshed(self, token: str, copies: Sequence[tuple[str, int, str]]) -> list[bool]:
        """Whether the new copies of (task id, run, awaited journal id) were confirmed (rule 3)."""
        keys = self._keys
        names = [keys.generation, *(keys.task(task_id) for task_id, _, _ in copies)]
        arguments: list[Argument] = [token]
        for _, run, journal_id in copies:
            arguments += (run, journal_id)
        replies = await self._redis.script("refreshed", names, arguments)
        return [reply == 1 for reply in replies]

    async def watermark(self) -> tuple[str, str] | None:
        """(generation, journal id) that the mirror has confirmed up to, None: nothing yet."""
        found = await self._redis.fields(self._keys.mirror, "generation", "watermark")
        return (found[0], found[1]) if found[0] and found[1] else None


@lru_cache(maxsize=256)
def _plan(run: int, lane: int, attempts_ended: int, due_ms: int) -> str:
    """What ``restore.lua`` calls so; most tasks of a call share it."""
    return f"{run} {lane} {attempts_ended} {due_ms}"
