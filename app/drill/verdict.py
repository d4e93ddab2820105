"""Comparing the books: what was lost, invented, repeated, let go too early. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from app.drill.ends import (
    Arrival,
    Fault,
    Recorded,
    Seen,
    altered,
    second_results,
    unearned,
    zombies,
)
from app.drill.producers import Book

CALM_AFTER_MS: Final = 5_000
"""How long after a fault a broker's count may still be of the time before."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The stores at one moment; None where one did not answer in time."""

    at_ms: int
    depth: Mapping[str, int] | None
    """State -> tasks in Redis."""
    journal: int | None
    """Entries that RabbitMQ has not confirmed."""
    copies: int | None
    """Messages in the mirror queue, ready and unacked."""


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
    samples: Sequence[Sample] = field(default_factory=tuple)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    """Records as they were first seen."""
    open_left: int = 0
    """Tasks and journal entries that are left in Redis; -1: it could not say."""
    count_age_ms: int = 5_000
    """How old the broker's count of a sample may be."""
    workers_pause: bool = False
    """Whether a worker may stand still between what it asked and what it does."""
    copies_taken: bool = False
    """Whether a fault itself took copies: then only what was counted before it is judged."""


def judge(
    evidence: Evidence, *, scenario: str, seed: int, durability: str, versions: Mapping[str, str]
) -> dict[str, Any]:
    """The outcome of a drill, as ``--json`` prints it."""
    book = evidence.book
    effects = [each for each in evidence.arrivals if each.is_effect]
    executed = {each.task_id for each in effects}
    finished = set(evidence.recorded)
    lost = [each for each in book.accepted if each not in executed and each not in finished]
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
        "phantom": sum(1 for each in executed | finished if each not in book.submitted),
        "failedButRun": len(_failed_but_run(evidence, effects)),
        "duplicateExecutions": len(effects) - len(executed),
        "duplicateResults": second_results(evidence.recorded, evidence.seen),
        "zombies": zombies(
            effects,
            evidence.recorded,
            evidence.seen,
            () if evidence.workers_pause else evidence.faults,
        ),
        "unearned": len(unearned(evidence.recorded, executed)),
        "altered": len(altered(evidence.arrivals, book.digests)),
        "stuck": sum(1 for each in book.accepted if each in executed and each not in finished),
        "restored": evidence.restored,
        "openLeft": evidence.open_left,
        "copiesLeft": evidence.copies_left,
        "copiesMissing": copies_missing(evidence) if durability == "mirrored" else None,
        "rpoTasks": evidence.rpo_tasks,
        "rpoSeconds": evidence.rpo_seconds,
        "rtoFirstSeconds": first,
        "rtoAllSeconds": last,
        "faults": [_shown(each) for each in evidence.faults],
    }
    document["lostTasks"] = sorted(lost)[:20]
    document["why"] = list(_why(document, evidence, durability))
    document["verdict"] = "failed" if document["why"] else "ok"
    return document


def copies_missing(evidence: Evidence) -> int:
    """Copies that were gone from RabbitMQ while their tasks were unfinished, at least.

    Whatever was accepted before the count can have been taken and is not finished after the
    sample had its copy all the time. What two samples in a row miss, away from any fault, was let
    go too early.
    """
    calm = [each for each in evidence.samples if _is_calm(each, evidence)]
    missing = [
        max(0, _owed(each.at_ms, evidence) - each.copies)
        for each in calm
        if each.copies is not None
    ]
    return max((min(pair) for pair in pairwise(missing)), default=0)


def _is_calm(sample: Sample, evidence: Evidence) -> bool:
    if evidence.copies_taken and any(each.at_ms <= sample.at_ms for each in evidence.faults):
        return False
    return not any(
        each.at_ms <= sample.at_ms <= each.done_ms + CALM_AFTER_MS for each in evidence.faults
    )


def _owed(at_ms: int, evidence: Evidence) -> int:
    """How many tasks certainly had a copy during the whole age of a count."""
    owed = 0
    for task_id, accepted_ms in evidence.book.accepted.items():
        record = evidence.recorded.get(task_id)
        ended_ms = record.at_ms if record else None
        open_then = record is None or (ended_ms is not None and ended_ms > at_ms)
        owed += accepted_ms <= at_ms - evidence.count_age_ms and open_then
    return owed


def _failed_but_run(evidence: Evidence, effects: Sequence[Arrival]) -> set[str]:
    """Submitted tasks that ran although every answer until then was a firm no."""
    possible = evidence.book.possible
    early = {e.task_id for e in effects if e.at_ms < possible.get(e.task_id, e.at_ms + 1)}
    never = {each for each in evidence.recorded if each not in possible}
    return (early | never) & set(evidence.book.submitted)


def _why(document: Mapping[str, Any], evidence: Evidence, durability: str) -> Iterator[str]:
    """A sentence for each thing that must not be."""
    allowed = evidence.rpo_tasks if durability == "fast" else 0
    told = f", more than the {allowed:,} without a copy at the fault" if allowed else ""
    if document["lost"] > allowed:
        yield f"Lost: {document['lost']:,} accepted tasks were neither executed nor recorded{told}."
    # A task that ran at `fast` and was lost with Redis is recorded by nobody.
    if document["stuck"] > max(0, allowed - document["lost"]):
        yield (
            f"Stuck: {document['stuck']:,} accepted tasks were executed but are not recorded as"
            f" finished{told}."
        )
    for name, sentence in WRONGS.items():
        if document[name]:
            yield sentence.format(document[name])
    yield from _left(document)
    if still := document["refused"] + document["unknown"]:
        yield f"{still:,} tasks were still not accepted at the end, every fault being over."
    real = [each for each in evidence.faults if sum(each.in_flight.values()) > 0]
    if not evidence.planned_faults:
        yield "No fault was planned: the run proves nothing."
    if len(real) != evidence.planned_faults:
        yield (
            f"{len(real)} of {evidence.planned_faults} planned faults happened with work in"
            " flight: the run proves nothing."
        )


def _left(document: Mapping[str, Any]) -> Iterator[str]:
    for name, store, what in (
        ("copiesLeft", "RabbitMQ", "copies"),
        ("openLeft", "Redis", "tasks and journal entries"),
    ):
        if document[name] < 0:
            yield f"{store} could not say how many {what} are left."
        elif document[name]:
            yield f"{document[name]:,} {what} are left in {store}, all tasks being settled."


WRONGS: Final = {
    "phantom": "Phantom: {:,} tasks were executed or recorded that nobody submitted.",
    "failedButRun": "{:,} tasks ran although their submit had been refused.",
    "duplicateResults": "{:,} results were recorded beside or in place of another of the same run.",
    "zombies": "{:,} effects began although their task had been recorded as finished.",
    "unearned": "{:,} tasks are recorded as ended otherwise than they can have: succeeded without"
    " an effect, or given up without a reason.",
    "altered": "{:,} tasks arrived with another body than was submitted.",
    "copiesMissing": "At least {:,} copies left RabbitMQ before their tasks were finished.",
}


def _recovery_seconds(
    evidence: Evidence, effects: Sequence[Arrival]
) -> tuple[float | None, float | None]:
    """From the first fault to the first effect once it is over, and to the last of work before it.

    None where there was none. What arrives during a fault may have been on its way before.
    """
    if not evidence.faults:
        return None, None
    fault, accepted = evidence.faults[0], evidence.book.accepted
    over = [each.at_ms for each in effects if each.at_ms >= fault.done_ms]
    before = [
        each.at_ms
        for each in effects
        if each.at_ms >= fault.at_ms and accepted.get(each.task_id, fault.at_ms + 1) <= fault.at_ms
    ]
    return (
        (min(over) - fault.at_ms) / 1000 if over else None,
        (max(before) - fault.at_ms) / 1000 if before else None,
    )


def _shown(fault: Fault) -> dict[str, Any]:
    return {
        "name": fault.name,
        "at": fault.at_ms,
        "doneAt": fault.done_ms,
        "inFlight": dict(fault.in_flight),
    }
