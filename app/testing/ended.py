"""What a test sees of a task that has run."""

from dataclasses import dataclass
from typing import Any

from app.ledger.records import ErrorInfo, Outcome
from app.state import TaskState

Progress = tuple[float | None, str | None]
"""Fraction (0 to 1) and text."""


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """One attempt. ``delay_ms``: until the next one; None: there was none."""

    attempt: int
    outcome: Outcome
    error: ErrorInfo | None
    delay_ms: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over.

    ``elapsed_ms``: what it would have taken but for the handlers' time. ``progress``: everything
    that was reported, in order; a worker may leave out what is soon followed by more.
    """

    state: TaskState
    result: Any
    error: ErrorInfo | None
    attempts: tuple[EndedAttempt, ...]
    elapsed_ms: int
    progress: tuple[Progress, ...]

    @property
    def errors(self) -> tuple[ErrorInfo, ...]:
        """Why each failed attempt failed, in order."""
        return tuple(each.error for each in self.attempts if each.error is not None)

    @property
    def delays_ms(self) -> tuple[int, ...]:
        """How long each retry waited."""
        return tuple(each.delay_ms for each in self.attempts if each.delay_ms is not None)
