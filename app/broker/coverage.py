"""Coverage of one queue: of the runs accepted in each minute, how many have a confirmed copy.

Lag says how far the mirror got, not what it left out. Here both ends are counted where they happen:
accepted by the script that accepts, mirrored by the one that marks a task (rule 3), both under the
minute in which the run was first journaled. What the mirror skipped, and a journal entry that got
lost, is the difference, and stays it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.broker.connection import Argument, RedisConnection
from app.broker.keys import QueueKeys

MINUTE_MS: Final = 60_000
MINUTES_MAX: Final = 1_440
"""Minutes that are kept."""
OVERDUE_MS: Final = 60_000
"""A run accepted in a minute that ended so long ago should have its copy."""


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute, from ``at_ms`` on by Redis's clock.

    ``accepted`` and ``mirrored`` are of the runs accepted in it, ``retired`` counts the copies that
    left in it. ``waiting`` and ``missing`` sum up to the runs without a confirmed copy.
    """

    at_ms: int
    accepted: int
    mirrored: int
    retired: int
    waiting: int
    missing: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The latest minutes, the oldest first.

    ``since_ms``: what is older was not counted, None: nothing was. ``journal_from_ms``: when the
    oldest entry of the journal was written, None: it is empty.
    """

    now_ms: int
    since_ms: int | None
    journal_from_ms: int | None
    minutes: tuple[Minute, ...]

    @property
    def missing(self) -> int:
        """Runs without a confirmed copy that should have one."""
        return sum(each.missing for each in self.minutes)

    @property
    def lost(self) -> int:
        """Those of them whose journal entry is gone: no mirror will publish them."""
        return sum(each.missing for each in self.minutes if not self._may_be_journaled(each.at_ms))

    def _may_be_journaled(self, at_ms: int) -> bool:
        return may_be_journaled(at_ms, self.journal_from_ms)


def may_be_journaled(at_ms: int, journal_from_ms: int | None) -> bool:
    """Whether an entry of the minute from ``at_ms`` on may be in the journal still."""
    return journal_from_ms is not None and at_ms + MINUTE_MS > journal_from_ms


def minutes_of(
    counts: Sequence[int], now_ms: int, journal_from_ms: int | None
) -> tuple[Minute, ...]:
    """Minutes from accepted, mirrored, retired of each in turn; the last one is that of now.

    Without a copy is missing as soon as the journal cannot have its entry any more, and overdue in
    any case.
    """
    first_ms = (now_ms // MINUTE_MS - len(counts) // 3 + 1) * MINUTE_MS
    found = []
    for number in range(len(counts) // 3):
        accepted, mirrored, retired = counts[3 * number : 3 * number + 3]
        at_ms = first_ms + number * MINUTE_MS
        bare = max(0, accepted - mirrored)
        overdue = at_ms + MINUTE_MS + OVERDUE_MS <= now_ms
        missing = bare if overdue or not may_be_journaled(at_ms, journal_from_ms) else 0
        found.append(Minute(at_ms, accepted, mirrored, retired, bare - missing, missing))
    return tuple(found)


async def read_coverage(
    redis: RedisConnection, keys: QueueKeys, token: str, minutes: int
) -> Coverage:
    """The last ``minutes``, at most ``MINUTES_MAX``.

    Raises:
        StaleGeneration: Redis has another history.
        Unavailable: Redis is away.
    """
    now, since, oldest, counts = await redis.script(
        "coverage", [keys.generation, keys.coverage, keys.journal], [token, minutes]
    )
    journal_from_ms = int(oldest.split(b"-")[0]) if oldest else None
    return Coverage(
        now_ms=now,
        since_ms=int(since) if since else None,
        journal_from_ms=journal_from_ms,
        minutes=minutes_of(counts, now, journal_from_ms),
    )


async def count_retired(
    redis: RedisConnection, keys: QueueKeys, token: str, copies: int, canaries: Sequence[str]
) -> None:
    """Count copies that were let go; ``canaries`` are the ids of those that somebody watches.

    Raises:
        StaleGeneration: Redis has another history.
        Unavailable: Redis is away.
    """
    names = [keys.generation, keys.coverage, *(keys.task(each) for each in canaries)]
    arguments: list[Argument] = [token, copies]
    await redis.script("retired", names, arguments)
