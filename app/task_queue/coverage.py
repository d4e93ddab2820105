"""Coverage and the canary, as the API shows them. Pure."""

from typing import Any

from app.broker.coverage import Coverage, Minute
from app.broker.intake import Sighting
from app.names import QueueName


def coverage_document(name: QueueName, found: Coverage, *, mirrored: bool) -> dict[str, Any]:
    """A queue's coverage; where nothing is ``mirrored`` nothing can be missing either."""
    return {
        "queue": name.queue,
        "tenant": name.tenant,
        "since": found.since_ms,
        "journalFrom": found.journal_from_ms,
        "accepted": sum(each.accepted for each in found.minutes),
        "mirrored": sum(each.mirrored for each in found.minutes) if mirrored else None,
        "retired": sum(each.retired for each in found.minutes) if mirrored else None,
        "waiting": sum(each.waiting for each in found.minutes) if mirrored else None,
        "missing": found.missing if mirrored else None,
        "lost": found.lost if mirrored else None,
        "minutes": [_minute(each, mirrored=mirrored) for each in found.minutes],
    }


def canary_document(name: QueueName, task_id: str, seen: Sighting) -> dict[str, Any]:
    """How far round a canary is; ``mirrored`` is the mark that a confirm leaves, nothing else."""
    retired = seen.fields.get("retired")
    return {
        "taskId": task_id,
        "queue": name.queue,
        "state": seen.fields.get("state"),
        "mirrored": seen.fields.get("mirrored") == "1",
        "retired": retired is not None,
    }


def _minute(minute: Minute, *, mirrored: bool) -> dict[str, Any]:
    return {
        "at": minute.at_ms,
        "accepted": minute.accepted,
        "mirrored": minute.mirrored if mirrored else None,
        "retired": minute.retired if mirrored else None,
        "waiting": minute.waiting if mirrored else None,
        "missing": minute.missing if mirrored else None,
    }
