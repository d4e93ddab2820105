"""The worker's verbs: fetch, start, settle, put off, give back, renew, reclaim, promote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import orjson

from app.broker.connection import Argument, RedisConnection
from app.broker.keys import QueueKeys
from app.envelope import decode
from app.state import TaskState

PROGRESS_BYTES_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Entry:
    """A claimed entry of a ready stream.

    ``generation`` is the token it was added under; ``reclaimed`` tells whether another delivery
    came before this one. ``lane`` counts from 1 = high.
    """

    lane: int
    entry_id: str
    task_id: str
    run: int
    generation: str
    fresh: bool
    envelope: bytes
    reclaimed: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought; ``cursors`` are the streams' last ids, to wait behind them."""

    flag: Literal["open", "paused", "unloaded"]
    entries: list[Entry]
    cursors: dict[str, str]


@dataclass(frozen=True, slots=True)
class Start:
    """One wish to start an attempt; ``ledger_*`` is what the worker's ask brought."""

    entry: Entry
    nonce: str
    asked: bool
    ledger_attempt: int
    ledger_due_ms: int
    attempts_max: int
    expires_at_ms: int
    request_digest: str


@dataclass(frozen=True, slots=True)
class Started:
    """The verdict of ``start.lua``; ``suspect``: the open record must be written first (rule 4)."""

    verdict: Literal["run", "ask", "gone", "cancel", "expired", "exhausted", "later", "paused"]
    attempt: int
    suspect: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class Settle:
    """A finished task to be taken from its place; lane 0, no entry: whatever its hash names."""

    task_id: str
    lane: int
    entry_id: str
    run: int
    state: TaskState


@dataclass(frozen=True, slots=True)
class PutOff:
    """A failed attempt to be repeated at ``due_ms``."""

    entry: Entry
    attempt: int
    due_ms: int


class Delivery:
    """Verbs of workers on one queue."""

    def __init__(
        self,
        redis: RedisConnection,
        keys: QueueKeys,
        *,
        dedup_ms: int,
        fresh_dedup_ms: int = 60_000,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._dedup_ms = dedup_ms
        self._fresh_dedup_ms = fresh_dedup_ms

    async def fetch(
        self, token: str, consumer: str, count: int, *, own: bool = False, order: str = "123"
    ) -> Fetched:
        """Claim up to ``count`` entries; ``own``: those already pending for this consumer."""
        keys = self._keys
        flag, found, last = await self._redis.script(
            "fetch",
            [keys.generation, *keys.lanes],
            [token, consumer, count, "0" if own else ">", order],
        )
        entries = [
            _entry(lane, raw, reclaimed=own) for lane, raws in found for raw in raws if raw[1]
        ]
        cursors = {lane: end.decode() for lane, end in zip(keys.lanes, last, strict=True)}
        return Fetched(cast(Any, flag.decode()), entries, cursors)

    async def start(self, token: str, consumer: str, starts: Sequence[Start]) -> list[Started]:
        """Count attempts and allow them, or say why not."""
        arguments: list[Argument] = [
            token,
            consumer,
            TaskState.QUEUED,
            TaskState.RUNNING,
            TaskState.RETRYING,
        ]
        for each in starts:
            entry = each.entry
            arguments += (
                entry.task_id,
                entry.lane,
                entry.entry_id,
                entry.run,
                each.nonce,
                int(each.asked),
                each.ledger_attempt,
                each.ledger_due_ms,
                each.attempts_max,
                each.expires_at_ms,
                each.request_digest,
            )
        names = self._delayed_names([each.entry.task_id for each in starts])
        replies = await self._redis.script("start", names, arguments)
        return [
            Started(cast(Any, verdict.decode()), attempt, suspect == 1, now)
            for verdict, attempt, suspect, now in replies
        ]

    async def settle(self, token: str, settles: Sequence[Settle]) -> None:
        """Take finished tasks from their place, and say so; only after the ledger has them."""
        keys = self._keys
        names = [keys.generation, *keys.lanes, keys.delayed, keys.retrying, keys.rates]
        arguments: list[Argument] = [
            token,
            self._fresh_dedup_ms,
            self._dedup_ms,
            keys.finished_channel,
        ]
        for each in settles:
            names.append(keys.task(each.task_id))
            arguments += (each.task_id, each.lane, each.entry_id, each.run, each.state)
        await self._redis.script("settle", names, arguments)

    async def put_off(
        self, token: str, consumer: str, retries: Sequence[PutOff]
    ) -> list[Literal["ok", "cancel", "gone"]]:
        """Delay failed attempts; only after the ledger has them."""
        arguments: list[Argument] = [token, consumer, TaskState.RUNNING, TaskState.RETRYING]
        for each in retries:
            entry = each.entry
            arguments += (
                entry.task_id,
                entry.lane,
                entry.entry_id,
                entry.run,
                each.attempt,
                each.due_ms,
            )
        names = self._delayed_names([each.entry.task_id for each in retries])
        replies = await self._redis.script("retry", names, arguments)
        return [cast(Any, reply.decode()) for reply in replies]

    async def report_progress(
        self,
        token: str,
        consumer: str,
        reports: Sequence[tuple[Entry, float | None, str | None]],
        *,
        text_bytes_max: int = PROGRESS_BYTES_MAX,
    ) -> list[bool]:
        """Note (entry, fraction 0 to 1, text) of running tasks; False: not this consumer's now.

        A text longer than ``text_bytes_max`` (in UTF-8) is cut. The end of the attempt removes the
        note.
        """
        keys = self._keys
        names = [keys.generation, *keys.lanes, *(keys.task(each.task_id) for each, _, _ in reports)]
        arguments: list[Argument] = [token, consumer, TaskState.RUNNING]
        for entry, fraction, text in reports:
            arguments += (
                entry.lane,
                entry.entry_id,
                entry.run,
                _progress(fraction, text, text_bytes_max),
            )
        replies = await self._redis.script("progress", names, arguments)
        return [reply == 1 for reply in replies]

    async def give_back(
        self, token: str, consumer: str, entries: Sequence[tuple[Entry, bool]]
    ) -> list[bool]:
        """Return (entry, started) to the queue; a started attempt is not counted."""
        keys = self._keys
        names = [keys.generation, *keys.lanes, *(keys.task(entry.task_id) for entry, _ in entries)]
        arguments: list[Argument] = [token, consumer, TaskState.QUEUED]
        for entry, started in entries:
            arguments += (entry.task_id, entry.lane, entry.entry_id, entry.run, int(started))
        replies = await self._redis.script("give_back", names, arguments)
        return [reply == 1 for reply in replies]

    async def give_back_later(
        self,
        token: str,
        consumer: str,
        entries: Sequence[Entry],
        delay_ms: int,
        *,
        within_ms: int | None = None,
        known_elsewhere: bool = False,
    ) -> list[int]:
        """Return entries that were not started for ``delay_ms``: nobody here knows their type.

        Answers ms since each was first given back so, -1 where it is not this consumer's any more.
        From ``within_ms`` on it is not given back but stays with its consumer, to be finished.
        ``known_elsewhere``: another worker knows the type, so that time begins anew.
        """
        keys = self._keys
        names = [keys.generation, *keys.lanes, keys.delayed]
        kept_from_ms = -1 if within_ms is None else within_ms
        arguments: list[Argument] = [token, consumer, TaskState.QUEUED, delay_ms, kept_from_ms]
        arguments.append(int(known_elsewhere))
        for entry in entries:
            names.append(keys.task(entry.task_id))
            digest = decode(entry.envelope).request_digest
            arguments += (entry.task_id, entry.lane, entry.entry_id, entry.run, digest)
        replies: list[int] = await self._redis.script("give_back_later", names, arguments)
        return replies

    async def drop(self, token: str, consumer: str, entries: Sequence[Entry]) -> list[bool]:
        """Take entries out without an outcome; only after a quarantine record keeps them."""
        keys = self._keys
        names = [keys.generation, *keys.lanes, *(keys.task(entry.task_id) for entry in entries)]
        arguments: list[Argument] = [token, consumer]
        for entry in entries:
            arguments += (entry.lane, entry.entry_id)
        replies = await self._redis.script("drop", names, arguments)
        return [reply == 1 for reply in replies]

    async def renew(
        self, token: str, consumer: str, entries: Sequence[Entry]
    ) -> list[Literal["held", "lost", "cancel", "over"]]:
        """Renew the leases of entries this consumer still holds.

        ``cancel``: held, and a mark is on it; ``over``: it was cancelled, and is settled already.
        """
        keys = self._keys
        names = [keys.generation, *keys.lanes, *(keys.task(entry.task_id) for entry in entries)]
        arguments: list[Argument] = [token, consumer, TaskState.CANCELLED]
        for entry in entries:
            arguments += (entry.lane, entry.entry_id)
        replies = await self._redis.script("renew", names, arguments)
        return [cast(Any, reply.decode()) for reply in replies]

    async def reclaim(
        self, token: str, consumer: str, lane: int, lease_ms: int, count: int, cursor: str = "0-0"
    ) -> tuple[str, list[Entry]]:
        """Take over entries of one lane whose consumer was silent: (next cursor, entries)."""
        keys = self._keys
        cursor_after, raws = await self._redis.script(
            "reclaim",
            [keys.generation, keys.lanes[lane - 1]],
            [token, consumer, lease_ms, count, cursor],
        )
        entries = [_entry(lane, raw, reclaimed=True) for raw in raws if raw and raw[1]]
        return cursor_after.decode(), entries

    async def due(self, token: str, count: int) -> tuple[list[str], int | None]:
        """Ids of delayed tasks whose time has come, and ms until the next one (None: none)."""
        keys = self._keys
        ids, next_ms = await self._redis.script(
            "due", [keys.generation, keys.delayed], [token, count]
        )
        return [each.decode() for each in ids], None if next_ms < 0 else int(next_ms)

    async def promote(self, token: str, task_ids: Sequence[str]) -> list[int]:
        """Move due tasks to ready: 1 promoted, 0 not due or gone, -1 an orphan was removed."""
        names = self._delayed_names(task_ids)
        replies: list[int] = await self._redis.script(
            "promote", names, [token, TaskState.QUEUED, *task_ids]
        )
        return replies

    def _delayed_names(self, task_ids: Sequence[str]) -> list[str]:
        keys = self._keys
        tasks = (keys.task(task_id) for task_id in task_ids)
        return [keys.generation, *keys.lanes, keys.delayed, keys.retrying, *tasks]


def _entry(lane: int, raw: list[Any], *, reclaimed: bool) -> Entry:
    entry_id, flat = raw
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Entry(
        lane=lane,
        entry_id=entry_id.decode(),
        task_id=fields[b"id"].decode(),
        run=int(fields[b"run"]),
        generation=fields[b"gen"].decode(),
        fresh=fields[b"fresh"] == b"1",
        envelope=fields[b"envelope"],
        reclaimed=reclaimed,
    )


def _progress(fraction: float | None, text: str | None, bytes_max: int) -> bytes:
    said: dict[str, Any] = {"fraction": fraction, "text": text}
    if text is not None:
        encoded = text.encode("utf-8", "replace")
        said["text"] = encoded[:bytes_max].decode("utf-8", "ignore")
        if len(encoded) > bytes_max:
            said["truncated"] = True
    return orjson.dumps(said)
