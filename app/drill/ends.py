"""How single tasks ended, by the receiver's file and by the ledger as the drill reads it. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

ZOMBIE_AFTER_MS: Final = 5_000
"""How long after its record an effect was surely not under way when the record was written."""
WRITTEN_AFTER_MS: Final = 1_000
"""How long after its end an attempt was surely recorded, for whoever asked."""
FAILURES_LEAST: Final = 3
"""Of a task that may be dead: the receiver turns none away more often than twice."""
SUCCEEDED, DEAD = "succeeded", "dead"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One line of the receiver's file; ``task`` is the full name tenant/queue/id."""

    task: str
    status: int
    at_ms: int
    began_ms: int | None = None
    digest: str | None = None
    """Of its body."""

    @property
    def task_id(self) -> str:
        """The last part of the name."""
        return self.task.rsplit("/", 1)[-1]

    @property
    def is_effect(self) -> bool:
        """Whether the receiver took it (2xx)."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger says of one task, read with the checker's own code."""

    state: str
    successes: int
    """Attempts of the recorded run that its history calls succeeded."""
    at_ms: int | None = None
    """When the recorded run ended."""
    run: int = 1
    failures: int = 0
    """Attempts of that run that its history calls anything else."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was injected, with the work that was in flight then."""

    name: str
    at_ms: int
    done_ms: int
    in_flight: Mapping[str, int]
    asked_anew: bool = False
    """Whether no worker may go by what it asked before: Redis has begun anew, or every worker."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it was first seen; the reading that began at ``unseen_ms`` had it not yet."""

    record: Recorded
    unseen_ms: int


class Witness:
    """Remembers each record as it was first seen: what is over must stay as it is."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self._last_ms = 0

    def note(self, began_ms: int, records: Mapping[str, Recorded]) -> None:
        """A reading of the ledger that began then."""
        for task_id, record in records.items():
            self.seen.setdefault(task_id, Seen(record, self._last_ms))
        self._last_ms = began_ms


def second_results(recorded: Mapping[str, Recorded], seen: Mapping[str, Seen]) -> int:
    """Results beside another of the same run, and records that are not what they were."""
    extra = Counter({each: max(0, found.successes - 1) for each, found in recorded.items()})
    for task_id, first in seen.items():
        now = recorded.get(task_id)
        if now is None or _what(now) != _what(first.record):
            extra[task_id] = max(1, extra[task_id])
    return extra.total()


def unearned(recorded: Mapping[str, Recorded], executed: Collection[str]) -> list[str]:
    """Tasks recorded as ended otherwise than they can have: nobody cancels, all must succeed."""
    return [
        task_id
        for task_id, found in recorded.items()
        if not (
            (found.state == SUCCEEDED and task_id in executed)
            or (found.state == DEAD and found.failures >= FAILURES_LEAST)
        )
    ]


def altered(arrivals: Iterable[Arrival], digests: Mapping[str, str]) -> set[str]:
    """Tasks that arrived with another body than was submitted."""
    return {
        each.task_id
        for each in arrivals
        if each.digest is not None and each.digest != digests.get(each.task_id, each.digest)
    }


def zombies(
    effects: Iterable[Arrival],
    recorded: Mapping[str, Recorded],
    seen: Mapping[str, Seen],
    faults: Sequence[Fault],
) -> int:
    """Effects that began although their task had been recorded as finished.

    Surely so if that was long before, or before one of ``faults``, and the effect began after it.
    """
    anew = [each for each in faults if each.asked_anew]
    return sum(_is_zombie(each, recorded, seen, anew) for each in effects)


def _is_zombie(
    effect: Arrival,
    recorded: Mapping[str, Recorded],
    seen: Mapping[str, Seen],
    anew: Sequence[Fault],
) -> bool:
    first = seen.get(effect.task_id)
    record = first.record if first else recorded.get(effect.task_id)
    if record is None or record.at_ms is None:
        return False
    # What lay in a spool says when it ended; whoever asked the ledger until then was told nothing.
    known_ms = max(record.at_ms, first.unseen_ms if first else 0)
    began_ms = effect.at_ms if effect.began_ms is None else effect.began_ms
    return began_ms > known_ms + ZOMBIE_AFTER_MS or any(
        known_ms < each.at_ms and began_ms > max(each.done_ms, known_ms + WRITTEN_AFTER_MS)
        for each in anew
    )


def _what(record: Recorded) -> tuple[int, str, int | None]:
    return record.run, record.state, record.at_ms
