"""Where a rehearsal may have a process die, as by ``kill -9``: between any two of its writes.

The one home of the points' names. One variable names the point for all processes: one that never
comes to it lives on.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

ApiPoint = Literal[
    "api.before_enqueue",
    "api.after_enqueue",
    "api.before_confirm",
    "api.after_confirm",
    "api.before_publish",
    "api.after_publish",
    "api.before_mark",
    "api.after_mark",
    "api.after_cancelled",
    "api.after_settle",
    "api.before_redrive",
    "api.after_redrive",
    "api.before_note",
    "api.after_note",
    "api.after_discarded",
    "api.after_paused",
    "api.after_requeue",
    "api.after_resolve",
]
WorkerPoint = Literal[
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
]
MirrorPoint = Literal[
    "mirror.after_lease",
    "mirror.after_declare",
    "mirror.after_read",
    "mirror.after_publish",
    "mirror.after_confirm",
    "mirror.after_trim",
    "mirror.after_record",
    "mirror.before_release",
]
RehydratorPoint = Literal[
    "rehydrator.after_lease",
    "rehydrator.after_receive",
    "rehydrator.before_restore",
    "rehydrator.after_restore",
    "rehydrator.before_settle",
    "rehydrator.before_ack",
    "rehydrator.after_ack",
    "rehydrator.before_refresh",
    "rehydrator.after_refresh",
    "rehydrator.before_let_go",
    "rehydrator.after_let_go",
    "rehydrator.before_quarantine",
    "rehydrator.after_record",
    "rehydrator.after_quarantine",
    "rehydrator.before_fence",
    "rehydrator.after_fence",
    "rehydrator.before_complete",
    "rehydrator.after_complete",
    "rehydrator.after_pend",
    "rehydrator.after_marks",
    "rehydrator.after_rejournal",
    "rehydrator.after_wish",
    "rehydrator.before_checkpoint",
    "rehydrator.after_checkpoint",
]
Point = ApiPoint | WorkerPoint | MirrorPoint | RehydratorPoint

POINTS: Final[Mapping[str, Sequence[Point]]] = {
    "api": get_args(ApiPoint),
    "worker": get_args(WorkerPoint),
    "mirror": get_args(MirrorPoint),
    "rehydrator": get_args(RehydratorPoint),
}
"""By process; the rehydrator's are those of ``lifeboat rehydrate`` too."""
EXIT_CODE: Final = 137


class CrashPoints:
    """Ends the process at the one point that was chosen, or nowhere."""

    def __init__(self, at: str) -> None:
        """``at`` is ``LIFEBOAT_CRASH_AT``; empty: nowhere."""
        self._at = at

    def reach(self, point: Point) -> None:
        """Go on, or die here without a word."""
        if point == self._at:
            os._exit(EXIT_CODE)


NOWHERE: Final = CrashPoints("")
"""For what runs inside somebody else's process."""


def check(at: str) -> str:
    """Hand back the name of a point, or none.

    Raises:
        ValueError: there is no such point; says which there are.
    """
    if not at or any(at in points for points in POINTS.values()):
        return at
    process = at.partition(".")[0]
    known = POINTS.get(process) or [each for points in POINTS.values() for each in points]
    raise ValueError(f"there is no point {at!r}; there are {', '.join(known)}")
