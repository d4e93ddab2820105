"""Where a rehearsal may have a worker die, as by ``kill -9``: between any two writes of a task."""

import os
from collections.abc import Sequence
from typing import Final

from app.errors import SettingsError

POINTS: Final[Sequence[str]] = (
    "worker.after_fetch",
    "worker.after_start",
    "worker.before_record",
    "worker.after_record",
    "worker.after_run",
    "worker.before_ledger",
    "worker.after_ledger",
    "worker.before_failed",
    "worker.after_failed",
    "worker.before_settle",
    "worker.after_settle",
    "worker.before_put_off",
    "worker.after_put_off",
    "worker.before_give_back",
    "worker.after_give_back",
)
EXIT_CODE: Final = 137


class CrashPoints:
    """Ends the process at the one point that was chosen, or nowhere."""

    def __init__(self, at: str) -> None:
        """``at`` is ``LIFEBOAT_CRASH_AT``; empty: nowhere.

        Raises:
            SettingsError: there is no such point; says which there are.
        """
        if at and at not in POINTS:
            raise SettingsError(
                f"LIFEBOAT_CRASH_AT: there is no point {at!r}; there are {', '.join(POINTS)}."
            )
        self._at = at

    def reach(self, point: str) -> None:
        """Go on, or die here without a word."""
        if point == self._at:
            os._exit(EXIT_CODE)
