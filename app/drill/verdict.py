"""Comparing the books: what was lost, invented, repeated. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from app.drill.producers import Book


@dataclass(frozen=True, slots=True)
class Arrival:
    """One line of the receiver's file; ``task`` is the full name tenant/queue/id."""

    task: str
    status: int
    at_ms: int

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


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was injected, with the work that was in flight then."""

    name: str
    at_ms: int
    done_ms: int
    in_flight: Mapping[str, int]


@dataclass(slots=True)
class Evidence:
    """Everything the verdict rests on."""

    book: Book
    arrivals: Sequence[Arrival]
    recorded: Mapping[str, Recorded]
    copies_left: int
    restored: int
    rpo_tasks: int
    rpo_seconds: float
    planned_faults: int
    faults: Sequence[Fault] = field(default_factory=tuple)


def judge(
    evidence: Evidence, *, scenario: str, seed: int, durability: str, versions: Mapping[str, str]
) -> dict[str, Any]:
    """The outcome of a drill, as ``--json`` prints it."""
    book = evidence.book
    effects = [each for each in evidence.arrivals if each.is_effect]
    executed = {_id(each.task) for each in effects}
    finished = set(evidence.recorded)
    lost = [each for each in book.accepted if each not in executed and each not in finished]
    phantom = [each for each in executed if each not in book.submitted]
    repeated = sum(max(0, each.successes - 1) for each in evidence.recorded.values())
    first, last = _recovery_seconds(evidence, effects)
    document: dict[str, Any] = {
        "scenario": scenario,
        "seed": seed,
        "durability": durability,
        "versions": dict(versions),
        "submitted": len(book.submitted),
        "accepted": len(book.accepted),
        "refused": book.count("refused"),
        "unknown": book.count("unknown"),
        "acceptedByRabbitmq": len(book.fallback),
        "executed": len(executed),
        "lost": len(lost),
        "phantom": len(phantom),
        "duplicateExecutions": len(effects) - len(executed),
        "duplicateResults": repeated,
        "restored": evidence.restored,
        "copiesLeft": evidence.copies_left,
        "rpoTasks": evidence.rpo_tasks,
        "rpoSeconds": evidence.rpo_seconds,
        "rtoFirstSeconds": first,
        "rtoAllSeconds": last,
        "faults": [_shown(each) for each in evidence.faults],
    }
    document["lostTasks"] = sorted(lost)[:20]
    document["verdict"] = "ok" if _is_ok(document, evidence, durability) else "failed"
    return document


def _is_ok(document: Mapping[str, Any], evidence: Evidence, durability: str) -> bool:
    allowed = evidence.rpo_tasks if durability == "fast" else 0
    real = [each for each in evidence.faults if sum(each.in_flight.values()) > 0]
    return (
        document["lost"] <= allowed
        and document["phantom"] == 0
        and document["duplicateResults"] == 0
        and document["copiesLeft"] == 0
        and len(real) == evidence.planned_faults
    )


def _recovery_seconds(
    evidence: Evidence, effects: Sequence[Arrival]
) -> tuple[float | None, float | None]:
    """From the first fault to the first effect after it, and to the last of work accepted before.

    None where there was none.
    """
    if not evidence.faults:
        return None, None
    fault = evidence.faults[0]
    after = [each for each in effects if each.at_ms >= fault.done_ms]
    if not after:
        return None, None
    accepted = evidence.book.accepted
    before = [
        each.at_ms for each in after if accepted.get(_id(each.task), fault.at_ms + 1) <= fault.at_ms
    ]
    first = (min(each.at_ms for each in after) - fault.at_ms) / 1000
    return first, (max(before) - fault.at_ms) / 1000 if before else None


def _id(full_name: str) -> str:
    return full_name.rsplit("/", 1)[-1]


def _shown(fault: Fault) -> dict[str, Any]:
    return {
        "name": fault.name,
        "at": fault.at_ms,
        "doneAt": fault.done_ms,
        "inFlight": dict(fault.in_flight),
    }
