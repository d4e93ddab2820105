"""The caretaker's verbs: walk over what is open, journal it again, find silent consumers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from app.broker.connection import Argument, RedisConnection
from app.broker.keys import QueueKeys

PAGE: Final = 100
"""Tasks in one call: each may bring an envelope of a MiB, and Redis does nothing else meanwhile."""

Cursor = tuple[int, str]
START: Final[Cursor] = (0, "")
_END: Final = 4


@dataclass(frozen=True, slots=True)
class Journaled:
    """What journaling a task again brought; ``journal_id`` is empty where there is none."""

    outcome: Literal["journaled", "waiting", "confirmed", "gone"]
    journal_id: str
    run: int


@dataclass(frozen=True, slots=True)
class Silent:
    """An entry whose consumer gave no sign of life for ``idle_ms``."""

    task_id: str
    run: int
    consumer: str
    idle_ms: int


class Survey:
    """Verbs on one queue of one tenant."""

    def __init__(self, redis: RedisConnection, keys: QueueKeys) -> None:
        self._redis = redis
        self._keys = keys

    async def walk(self, token: str, cursor: Cursor) -> tuple[list[str], Cursor | None]:
        """The next ids of open tasks and where to go on (None: that was the end).

        An id may come twice, and that of a task which has just ended, too. One that moves between
        the places meanwhile may be missed: walk again where that matters.
        """
        keys = self._keys
        place, behind = cursor
        ids, place_after, behind_after = await self._redis.script(
            "walk",
            [keys.generation, *keys.lanes, keys.delayed],
            [token, place, behind, PAGE],
        )
        after = None if place_after == _END else (place_after, behind_after.decode())
        return [each.decode() for each in ids], after

    async def rejournal(
        self, token: str, task_ids: Sequence[str], *, since: str = "", only_tell: bool = False
    ) -> list[Journaled]:
        """Journal open tasks again and take off their marks; those in the journal are left alone.

        ``since``: a journal id behind which a confirm still counts. ``only_tell``: change nothing.
        """
        keys = self._keys
        names = [
            keys.generation,
            keys.journal,
            *keys.lanes,
            keys.coverage,
            *(keys.task(each) for each in task_ids),
        ]
        arguments: list[Argument] = [token, since, int(only_tell), *task_ids]
        replies = await self._redis.script("rejournal", names, arguments)
        return [
            Journaled(
                cast(Literal["journaled", "waiting", "confirmed", "gone"], outcome.decode()),
                journal_id.decode(),
                int(run),
            )
            for outcome, journal_id, run in replies
        ]

    async def silent(
        self, token: str, lane: int, lease_ms: int, behind: str = ""
    ) -> tuple[list[Silent], str]:
        """Entries of a lane whose consumer was silent for a lease; where to go on ('': the end)."""
        keys = self._keys
        found, after = await self._redis.script(
            "silent", [keys.generation, keys.lanes[lane - 1]], [token, lease_ms, behind, PAGE]
        )
        entries = [
            Silent(task_id.decode(), int(run), consumer.decode(), idle)
            for task_id, run, consumer, idle in found
        ]
        return entries, after.decode()
