"""Writes of the ledger, short to say."""

from app.ledger.records import (
    About,
    AttemptRecord,
    ErrorInfo,
    Finish,
    FinishedPart,
    OpenPart,
    OpenWrite,
)
from app.names import QueueName, new_token

QUEUE = QueueName("acme", "mail")
DIGEST = "ab" * 32
AT_MS = 4_000_000_000_000
"""So late that no MongoDB expires what has ended then while a test looks at it."""
ABOUT = About("mail.send", "telegram", "$ada", "chat-7", AT_MS - 9)
BOOM = ErrorInfo("ValueError", "boom ✓ $dollar", retryable=True)


def key(task_id="t1", queue=QUEUE):
    return queue.task(task_id)


def keys(n):
    return [key(f"t{i}") for i in range(n)]


def attempt(run=1, n=1, outcome="failed", error=BOOM):
    return AttemptRecord(run, n, "worker-1", AT_MS, AT_MS + 5, outcome, error)


def finish(
    task=None,
    run=1,
    state="succeeded",
    *,
    by=None,
    at_ms=AT_MS,
    attempt=None,
    digest=DIGEST,
    about=ABOUT,
    **more,
):
    members = {"attempt": 1, "result": b'{"ok":true}', "error": None} | more
    part = FinishedPart(run=run, state=state, at_ms=at_ms, by=by or new_token(), **members)
    return Finish(task or key(), digest, b'{"schema":1}', part, about, attempt)


def part(run=1, n=1, phase="started", due_ms=0, lost=0, by=None):
    return OpenPart(run, n, phase, due_ms, lost, by or new_token())


def opening(task=None, of=None, *, attempt=None, **check):
    """``check``: ``expected=...`` makes it a compare-and-set."""
    return OpenWrite(
        task or key(), DIGEST, of or part(), attempt, "expected" in check, check.get("expected")
    )
