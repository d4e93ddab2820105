"""The state machine: every state of a task and every move it may make, in one table.

Pure. Lua scripts get the expected and the next state as arguments; the diagram in
``docs/reference/task-states.md`` is generated from ``MOVES`` and checked against it.
"""

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task is in its life."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DISCARDED = "discarded"
    DEAD = "dead"
    SUSPENDED = "suspended"


_S = TaskState

TERMINAL = frozenset({_S.SUCCEEDED, _S.CANCELLED, _S.EXPIRED, _S.DISCARDED})
"""Over for good."""
PARKED = frozenset({_S.DEAD, _S.SUSPENDED})
"""Waiting for a person; every move out of here makes run+1."""
FINISHED = TERMINAL | PARKED
"""The run has a record in the ledger and is never executed again."""
OPEN = frozenset(TaskState) - FINISHED
"""In Redis, or to be brought back there."""

MOVES: dict[TaskState, frozenset[TaskState]] = {
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.CANCELLED, _S.EXPIRED}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.CANCELLED, _S.EXPIRED, _S.SUSPENDED, _S.DEAD}),
    _S.RUNNING: frozenset(
        {_S.SUCCEEDED, _S.RETRYING, _S.DEAD, _S.SUSPENDED, _S.CANCELLED, _S.QUEUED}
    ),
    _S.RETRYING: frozenset({_S.QUEUED, _S.CANCELLED, _S.EXPIRED}),
    _S.DEAD: frozenset({_S.QUEUED, _S.DISCARDED}),
    _S.SUSPENDED: frozenset({_S.QUEUED, _S.DISCARDED, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.DISCARDED: frozenset(),
}


def can_move(old: TaskState, new: TaskState) -> bool:
    """Whether the table allows ``old`` -> ``new``."""
    return new in MOVES[old]


def run_after(old: TaskState, run: int) -> int:
    """The run a task has after leaving ``old``: leaving a parked state starts the next one."""
    return run + 1 if old in PARKED else run
