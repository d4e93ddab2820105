"""What became of an attempt, and what follows from it. Pure."""

import math
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import BaseModel, ValidationError

from app.ledger.records import ErrorInfo, Outcome
from app.registry import Discard, HandlerSignal, Retry, Suspend
from app.retry import MAX_DELAY_LIMIT_MS, RetryPolicy
from app.state import TaskState
from app.task_queue.problems import problems_of

ENVELOPE_OF_A_CUT: Final = 128
"""Bytes that a cut result needs beside its preview."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler returned; ``result`` is JSON."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; ``after_ms`` is the delay the handler wishes, None: the policy's."""

    error: ErrorInfo
    after_ms: int | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Suspended:
    """The handler wants a person to look."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A cancel mark was met, before or while the handler ran."""


AttemptOutcome = Succeeded | Failed | Suspended | Cancelled


@dataclass(frozen=True, slots=True)
class Done:
    """The run is over. ``outcome`` is that of its last attempt, None: none ran now."""

    state: TaskState
    outcome: Outcome | None = None
    result: bytes | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """The attempt failed; the next one is due at ``due_ms`` (Redis's clock)."""

    due_ms: int
    outcome: Outcome
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Leftover:
    """The ledger already has this run, or a later one, as finished: only Redis is to be told."""

    run: int
    state: TaskState


Settlement = Done | Again | Leftover


def decide(
    outcome: AttemptOutcome, attempt: int, policy: RetryPolicy, now_ms: int, spread: float
) -> Done | Again:
    """What follows from attempt ``attempt`` (from 1).

    ``now_ms`` is Redis's clock; ``spread`` a random number in [-1, 1] for the backoff's jitter.
    """
    match outcome:
        case Succeeded(result):
            return Done(TaskState.SUCCEEDED, "succeeded", result=result)
        case Cancelled():
            return Done(TaskState.CANCELLED, "cancelled")
        case Suspended(error):
            return Done(TaskState.SUSPENDED, "failed", error=error)
        case Failed(error, after_ms, timed_out):
            word: Outcome = "timeout" if timed_out else "failed"
            if not error.retryable or attempt >= policy.max_attempts:
                return Done(TaskState.DEAD, word, error=error)
            delay_ms = policy.delay_ms(attempt, spread) if after_ms is None else after_ms
            return Again(now_ms + min(delay_ms, MAX_DELAY_LIMIT_MS), word, error)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what a handler says may be, in bytes."""

    result_bytes: int
    error_bytes: int

    def error(self, type: str, message: str, *, retryable: bool) -> ErrorInfo:
        """An error whose text is cut to the limit."""
        text, truncated = _cut(message, self.error_bytes)
        return ErrorInfo(type, text, retryable, truncated)

    def succeeded(self, value: Any) -> Succeeded | Failed:
        """The result as JSON; one too long is cut: ``{"truncated", "bytes", "preview"}``.

        ``preview`` is the beginning of the JSON text. What JSON cannot say is a failure that no
        retry mends.
        """
        try:
            result = orjson.dumps(value, default=_plain)
        except (TypeError, ValueError) as error:
            return Failed(
                self.error(
                    "invalid_result", f"The result is not plain JSON: {error}", retryable=False
                )
            )
        if len(result) > self.result_bytes:
            # Quotes and backslashes double when the preview is quoted in its turn.
            room = (self.result_bytes - ENVELOPE_OF_A_CUT) // 2
            preview = result[:room].decode("utf-8", "ignore")
            result = orjson.dumps({"truncated": True, "bytes": len(result), "preview": preview})
        return Succeeded(result)

    def raised(self, error: BaseException) -> Failed | Suspended:
        """What a handler's exception says."""
        match error:
            case Suspend():
                return Suspended(self.error(error.type, str(error), retryable=False))
            case Discard():
                return Failed(self.error(error.type, str(error), retryable=False))
            case Retry(after=after):
                is_wish = after is not None and math.isfinite(after)
                after_ms = max(0, round((after or 0) * 1000)) if is_wish else None
                return Failed(self.error(error.type, str(error), retryable=True), after_ms)
            case HandlerSignal():
                return Failed(self.error(error.type, str(error), retryable=True))
        return Failed(self.error(type(error).__name__, _message(error), retryable=True))

    def invalid_payload(self, error: ValidationError) -> Failed:
        """A payload its type's model refuses: every field by name; no retry mends it."""
        problems = problems_of(error, "#/payload")
        text = "; ".join(f"{each.pointer}: {each.detail}" for each in problems)
        return Failed(self.error("invalid_payload", text, retryable=False))

    def timeout(self, timeout_ms: int) -> Failed:
        """The attempt took too long."""
        text = f"The attempt took longer than {timeout_ms:,} ms."
        return Failed(self.error("timeout", text, retryable=True), timed_out=True)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        # A handler's exception may fail even at describing itself.
        return "(its text cannot be had)"


def _cut(text: str, bytes_max: int) -> tuple[str, bool]:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= bytes_max:
        return encoded.decode(), False
    return encoded[:bytes_max].decode("utf-8", "ignore"), True
