"""What a handler gets of its attempt, and how it tells and is told while it runs."""

import math
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.names import TaskKey
from app.registry.signals import Stopped

Report = Callable[[float | None, str | None], None]


class StopFlag:
    """Set once when an attempt is given up; safe to read and set from any thread."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Whether the attempt was given up."""
        return self._is_set

    def set(self) -> None:
        """Give the attempt up."""
        self._is_set = True


class _Noted:
    """What ``progress`` returns: awaiting it is allowed and takes no time."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


NOTED: Final = _Noted()


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a handler may know of its attempt; ``deadline_ms`` is wall clock, milliseconds UTC.

    ``state`` is what the lifespan of the handler's registry yielded.
    """

    key: TaskKey
    run: int
    attempt: int
    deadline_ms: int
    context: Mapping[str, Any]
    state: Any = None
    stop: StopFlag = field(default_factory=StopFlag, repr=False)
    report: Report | None = field(default=None, repr=False)

    @property
    def idempotency_key(self) -> str:
        """``tenant/queue/taskId``: what an effect is to be keyed on, so that it happens once."""
        return self.key.full

    @property
    def cancelled(self) -> bool:
        """Whether this attempt was given up: cancelled, over its time, lost, or the worker stops.

        A thread cannot be stopped, so a ``def`` handler that runs long must look itself. Whatever
        it returns or raises then is dropped, except where only the worker stops: a result that
        comes soon still counts.
        """
        return self.stop.is_set

    def check(self) -> None:
        """Return while the attempt is wanted.

        Raises:
            Stopped: it was given up; let it through.
        """
        if self.stop.is_set:
            raise Stopped(f"The attempt of {self.key.full} was given up.")

    def progress(self, fraction: float | None = None, text: str | None = None) -> Awaitable[None]:
        """Say how far the attempt is; ``fraction`` is 0 to 1. Returns at once, from any thread.

        Only the last of many quick calls is written, and none of an attempt that was given up. It
        never fails: what cannot be shown is left out. Awaiting the answer is allowed, not needed.
        """
        if self.report is not None and not self.stop.is_set:
            self.report(_fraction(fraction), _text(text))
        return NOTED


def _fraction(value: object) -> float | None:
    try:
        fraction = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(fraction, 0.0), 1.0) if math.isfinite(fraction) else None


def _text(value: object) -> str | None:
    try:
        return None if value is None else str(value)
    except Exception:
        # A caller's object may fail even at describing itself.
        return None
