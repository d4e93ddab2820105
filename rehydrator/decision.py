"""What to do with a copy, from what Redis and the ledger say of its task. Pure.

Only the ledger proves that a run is over (P4): what Redis says, or no longer says, is a reason to
ask, never a reason to let a copy go.
"""

from dataclasses import dataclass
from typing import Final

from app.broker.recovery import Standing as RedisStanding
from app.ledger.records import OpenPart
from app.ledger.records import Standing as LedgerStanding

ID_CONFLICT: Final = "ID_CONFLICT"
"""The finding where two requests share a task id (rule 10)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The ledger answered; None: it has no record of the task."""

    standing: LedgerStanding | None


UNRECORDED: Final = Asked(None)


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the copy. ``known``: whoever had to be asked has answered."""

    known: bool


@dataclass(frozen=True, slots=True)
class Ack:
    """The ledger has the copy's run finished, or a later one (``run``, in ``state``).

    ``settle``: Redis still has it open; it is settled there first (rules 9 and 12).
    """

    run: int
    state: str
    settle: bool


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring the task back, with what the ledger's open record of this run says (rule 4)."""

    attempts_ended: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Two requests share the id: not to be acked as finished, nor restored over (rule 10)."""

    detail: str


UNKNOWN: Final = Hold(known=False)
_AS_NEW: Final = Restore(attempts_ended=0, due_ms=0)
Verdict = Hold | Ack | Restore | Quarantine


def needs_ledger(run: int, request_digest: str, redis: RedisStanding) -> bool:
    """Whether Redis alone leaves open what to do with a copy of ``run``."""
    return redis.standing != "present" or redis.run != run or _differs(redis, request_digest)


def decide(
    run: int, request_digest: str, redis: RedisStanding | None, ledger: Asked | None
) -> Verdict:
    """What to do with a copy of ``run``; None for a store that gave no answer."""
    if redis is None:
        return UNKNOWN
    if ledger is None:
        return Hold(known=not needs_ledger(run, request_digest, redis))
    recorded = ledger.standing
    if recorded is not None and _differs(recorded, request_digest):
        return Quarantine("The ledger records another request under this task id.")
    if recorded is not None and recorded.is_finished(run):
        return _ack(request_digest, redis, recorded)
    return _unfinished(run, request_digest, redis, recorded)


def decide_by_ledger(run: int, request_digest: str, ledger: Asked | None) -> Restore | None:
    """What to do with a copy of ``run`` before Redis was asked; None: it must be.

    ``restore.lua`` itself looks whether the task is there, in one step with bringing it back (rules
    9 and 10), so only a copy that may have to go needs a look before.
    """
    if ledger is None:
        return None
    recorded = ledger.standing
    if recorded is None:
        return _AS_NEW
    if _differs(recorded, request_digest) or recorded.is_finished(run):
        return None
    return _restore(recorded.open_of(run))


def _unfinished(
    run: int, request_digest: str, redis: RedisStanding, recorded: LedgerStanding | None
) -> Verdict:
    if _differs(redis, request_digest):
        return Quarantine("Redis holds another request under this task id.")
    if redis.run > run or (redis.run == run and redis.standing in ("present", "settled")):
        return Hold(known=True)
    return _restore(recorded.open_of(run) if recorded is not None else None)


def _ack(request_digest: str, redis: RedisStanding, recorded: LedgerStanding) -> Ack:
    is_open = redis.standing in ("present", "displaced") and redis.run <= recorded.finished_run
    return Ack(
        run=recorded.finished_run,
        state=recorded.finished_state,
        settle=is_open and not _differs(redis, request_digest),
    )


def _restore(part: OpenPart | None) -> Restore:
    if part is None:
        return _AS_NEW
    # An attempt that started and left no word was lost with Redis: it counts as used.
    return Restore(part.attempt, part.due_ms if part.phase == "failed" else 0)


def _differs(known: RedisStanding | LedgerStanding, request_digest: str) -> bool:
    return known.request_digest not in ("", request_digest)
