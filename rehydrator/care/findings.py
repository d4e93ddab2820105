"""Findings: where Redis, RabbitMQ and the ledger disagree about a task; names and decisions. Pure.

A finding is a suspicion until a second look, some seconds later, has it too: the stores are read
one after the other while everybody works.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from app.broker.recovery import Standing as RedisStanding
from app.ledger.records import Standing as LedgerStanding
from rehydrator.decision import Ack, Asked, Hold, Quarantine, Restore, decide


class Name(StrEnum):
    """What is wrong."""

    LIVE_NOT_MIRRORED = "LIVE_NOT_MIRRORED"
    MIRRORED_NOT_LIVE = "MIRRORED_NOT_LIVE"
    TERMINAL_NOT_RETIRED = "TERMINAL_NOT_RETIRED"
    PENDING_NO_OWNER = "PENDING_NO_OWNER"
    RESULT_WITHOUT_TASK = "RESULT_WITHOUT_TASK"
    DUPLICATE_COPY = "DUPLICATE_COPY"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    SETTLED_NOT_RECORDED = "SETTLED_NOT_RECORDED"
    ID_CONFLICT = "ID_CONFLICT"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a finding says, and its one repair."""

    means: str
    repair: str


MEANINGS: Final[Mapping[Name, Meaning]] = {
    Name.LIVE_NOT_MIRRORED: Meaning(
        "Open in Redis; RabbitMQ has no copy of it, and none is on the way.",
        "journal it again; the mirror publishes it",
    ),
    Name.MIRRORED_NOT_LIVE: Meaning(
        "A copy of an unfinished task that Redis does not have.", "restore it"
    ),
    Name.TERMINAL_NOT_RETIRED: Meaning(
        "A copy of a run that the ledger has as over.", "settle it in Redis, let the copy go"
    ),
    Name.PENDING_NO_OWNER: Meaning(
        "Handed to a worker that gives no sign of life, and nobody took it over.",
        "record the lost attempt, give it back to the queue",
    ),
    Name.RESULT_WITHOUT_TASK: Meaning(
        "The ledger has the outcome of a run that Redis still has open.", "settle it in Redis"
    ),
    Name.DUPLICATE_COPY: Meaning(
        "RabbitMQ has several copies of one run.", "keep the latest, let the others go"
    ),
    Name.DIGEST_MISMATCH: Meaning(
        "A message that is not what its headers say: its body, its names or its schema.",
        "put it into the quarantine",
    ),
    Name.SETTLED_NOT_RECORDED: Meaning(
        "Over in Redis; the ledger knows of no outcome.", "run it again, as its next run"
    ),
    Name.ID_CONFLICT: Meaning(
        "A copy of another request than the one Redis or the ledger has under its id.",
        "put it into the quarantine",
    ),
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One disagreement about one run of one task; ``run`` is 0 where it cannot be read."""

    name: Name
    tenant: str
    queue: str
    task_id: str
    run: int

    def document(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "name": self.name.value,
            "tenant": self.tenant,
            "queue": self.queue,
            "taskId": self.task_id,
            "run": self.run,
        }


def about_copy(
    run: int, request_digest: str, redis: RedisStanding, ledger: Asked | None
) -> Name | None:
    """What is wrong with a copy, Redis having been asked before the ledger.

    None: nothing, or the ledger gave no answer.
    """
    match decide(run, request_digest, redis, ledger):
        case Ack():
            return Name.TERMINAL_NOT_RETIRED
        case Restore():
            return Name.MIRRORED_NOT_LIVE
        case Quarantine():
            return Name.ID_CONFLICT
        case Hold():
            # Settled only after the ledger had it: then the ledger has lost it.
            unrecorded = ledger is not None and redis.standing == "settled" and redis.run >= run
            return Name.SETTLED_NOT_RECORDED if unrecorded else None


def about_live(
    redis: RedisStanding, ledger: LedgerStanding | None, *, has_copy: bool, is_on_the_way: bool
) -> Name | None:
    """What is wrong with a task that Redis has open in its place.

    ``is_on_the_way``: its journal entry waits for the mirror.
    """
    if redis.standing != "present":
        return None
    same = ledger is not None and ledger.request_digest in ("", redis.request_digest)
    if ledger is not None and same and ledger.is_finished(redis.run):
        return Name.RESULT_WITHOUT_TASK
    if not has_copy and not is_on_the_way:
        return Name.LIVE_NOT_MIRRORED
    return None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy says it was made: generation and journal id."""

    generation: str
    journal_id: str


def superfluous(copies: Iterable[Place], latest: Place | None) -> list[int]:
    """Which copies of one run may go, by number: all but one of its latest confirmed entry.

    Without a copy of that entry at hand nothing may go: the others may be all there is (rule 6).
    """
    places = list(copies)
    if latest is None or latest not in places:
        return []
    kept = places.index(latest)
    return [number for number in range(len(places)) if number != kept]


def standing(first: Iterable[Finding], second: Iterable[Finding]) -> list[Finding]:
    """What both looks have, in order."""
    return sorted(set(first) & set(second))


def counts(found: Iterable[Finding]) -> dict[str, int]:
    """How many of each name, those that are none left out."""
    numbers = Counter(each.name for each in found)
    return {name.value: numbers[name] for name in Name if numbers[name]}
