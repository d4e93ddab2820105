"""How tasks and queues are shown. Pure.

Nothing is shown that a log must not show: the values of headers that carry secrets are masked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from app.broker.gauges import Gauges
from app.broker.intake import Sighting
from app.broker.presence import WorkerItem
from app.broker.watermark import MirrorState
from app.envelope import Envelope, decode
from app.errors import EnvelopeError
from app.ledger.records import (
    AttemptRecord,
    ErrorInfo,
    FinishedPart,
    LedgerRecord,
    QuarantineRecord,
)
from app.names import QueueName, TaskKey
from app.retry import RetryPolicy
from app.state import FINISHED

MASK: Final = "***"
SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "x-api-key"})
DELIVER: Final = "http.deliver"
BODY_SHOWN_BYTES: Final = 65_536

Shown = dict[str, Any]
"""A document as the contract has it."""
ShownPage = tuple[list[Shown], str | None]
"""A page of a list, and the next page's cursor."""


def is_finished(task: Mapping[str, Any]) -> bool:
    """Whether a shown task's run is over."""
    return task["state"] in FINISHED


def open_task(key: TaskKey, sighting: Sighting, record: LedgerRecord | None) -> dict[str, Any]:
    """A task that Redis holds; ``record`` is what the ledger knows of it, if it was asked.

    ``sighting`` must carry the envelope.
    """
    envelope = decode(sighting.envelope or b"")
    fields = sighting.fields
    attempts = record.attempts if record else ()
    last = attempts[-1] if attempts and attempts[-1].run == int(fields["run"]) else None
    document = _head(key, envelope)
    document |= {
        "state": fields["state"],
        "run": int(fields["run"]),
        "attempt": int(fields.get("attempt", 0)),
        "maxAttempts": _attempts_max(envelope),
        "durability": "mirrored" if fields.get("mirrored") == "1" else "fast",
        "acceptedAt": envelope.accepted_at_ms,
        "startedAt": _integer(fields.get("started")),
        "finishedAt": None,
        "nextAttemptAt": _integer(fields.get("due")) if fields["place"] == "delayed" else None,
        "progress": _progress(fields.get("progress")),
        "result": None,
        "error": _error(last.error) if last else None,
    }
    return document | _tail(envelope, attempts)


def finished_task(key: TaskKey, record: LedgerRecord, finished: FinishedPart) -> dict[str, Any]:
    """A task whose latest run the ledger has as finished."""
    envelope = decode(record.envelope or b"")
    starts = [a.started_at for a in record.attempts if a.run == finished.run]
    document = _head(key, envelope)
    document |= {
        "state": finished.state,
        "run": finished.run,
        "attempt": finished.attempt,
        "maxAttempts": _attempts_max(envelope),
        "durability": "mirrored",
        "acceptedAt": envelope.accepted_at_ms,
        "startedAt": starts[-1] if starts else None,
        "finishedAt": finished.at_ms,
        "nextAttemptAt": None,
        "progress": None,
        "result": _result(envelope, finished.result),
        "error": _error(finished.error),
    }
    return document | _tail(envelope, record.attempts)


def without_copies(gauges: Gauges) -> Gauges:
    """The same where nothing is mirrored: no open task has a copy, whatever the journal holds."""
    open_tasks = gauges.scheduled + gauges.queued + gauges.running + gauges.retrying
    return replace(gauges, unmirrored=open_tasks, oldest_unmirrored_ms=gauges.oldest_queued_ms)


def queue_document(
    name: QueueName,
    gauges: Gauges,
    *,
    paused: bool,
    parked: Mapping[str, int | None],
    copies: int | None,
    workers: int,
) -> dict[str, Any]:
    """One queue; ``parked`` and ``copies`` are null where their store could not say."""
    return {
        "queue": name.queue,
        "tenant": name.tenant,
        "paused": paused,
        "depth": {
            "scheduled": gauges.scheduled,
            "queued": gauges.queued,
            "running": gauges.running,
            "retrying": gauges.retrying,
            "dead": parked.get("dead"),
            "suspended": parked.get("suspended"),
        },
        "oldestQueuedSeconds": _seconds(gauges.oldest_queued_ms),
        "acceptedPerSecond": gauges.accepted_per_second,
        "settledPerSecond": gauges.settled_per_second,
        "unmirroredTasks": gauges.unmirrored,
        "unmirroredOldestSeconds": _seconds(gauges.oldest_unmirrored_ms),
        "copies": copies,
        "workers": workers,
    }


def worker_document(item: WorkerItem, tenant: str) -> dict[str, Any]:
    """One worker, with the queues of ``tenant`` that it polls."""
    return {
        "worker": item.worker,
        "queues": sorted(name.queue for name in item.queues if name.tenant == tenant),
        "types": list(item.types),
        "concurrency": item.concurrency,
        "running": item.running,
        "startedAt": item.started_at_ms,
        "lastPollAt": item.last_poll_at_ms or None,
    }


def quarantined_copy(record: QuarantineRecord) -> dict[str, Any]:
    """One copy in the quarantine; its body as text where it is no envelope."""
    return {
        "id": record.id,
        "reason": record.reason,
        "queue": record.queue,
        "tenant": record.tenant,
        "taskId": record.task_id,
        "headers": dict(record.headers),
        "body": _body(record.body),
        "at": record.at_ms,
        "resolution": record.resolution,
    }


def _body(raw: bytes) -> Any:
    try:
        envelope = decode(raw)
    except EnvelopeError:
        return raw[:BODY_SHOWN_BYTES].decode(errors="replace")
    document = orjson.loads(raw)
    return (
        document | {"payload": _masked(envelope.payload)} if envelope.type == DELIVER else document
    )


def mirror_document(name: QueueName, gauges: Gauges, mirror: MirrorState) -> dict[str, Any]:
    """The mirror of one queue; counters since this Redis remembers."""
    counted = gauges.mirror
    return {
        "queue": name.queue,
        "tenant": name.tenant,
        "journalLength": mirror.journal_length,
        "unmirroredTasks": gauges.unmirrored,
        "oldestUnmirroredSeconds": _seconds(gauges.oldest_unmirrored_ms),
        "watermark": counted.get("watermark"),
        "confirmed": int(counted.get("confirmed", 0)),
        "returned": int(counted.get("returned", 0)),
        "refused": int(counted.get("refused", 0)),
        "unknown": int(counted.get("unknown", 0)),
        "quarantined": int(counted.get("quarantined", 0)),
        "blocked": mirror.blocked,
        "leader": counted.get("leader") if mirror.alive else None,
    }


def _head(key: TaskKey, envelope: Envelope) -> dict[str, Any]:
    return {
        "taskId": key.task_id,
        "type": envelope.type,
        "queue": key.queue,
        "tenant": key.tenant,
    }


def _tail(envelope: Envelope, attempts: tuple[AttemptRecord, ...]) -> dict[str, Any]:
    return {
        "attempts": [_attempt(each) for each in attempts],
        "context": envelope.context,
        "payload": _masked(envelope.payload) if envelope.type == DELIVER else envelope.payload,
    }


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "run": attempt.run,
        "attempt": attempt.attempt,
        "worker": attempt.worker,
        "startedAt": attempt.started_at,
        "finishedAt": attempt.finished_at,
        "outcome": attempt.outcome,
        "error": _error(attempt.error),
    }


def _error(error: ErrorInfo | None) -> dict[str, Any] | None:
    if error is None:
        return None
    shown = {"type": error.type, "message": error.message, "retryable": error.retryable}
    return shown | {"truncated": True} if error.truncated else shown


def _result(envelope: Envelope, result: bytes | None) -> Any:
    if result is None:
        return None
    value = orjson.loads(result)
    if envelope.type == DELIVER and isinstance(value, dict):
        return _masked(value)
    return value


def _masked(document: dict[str, Any]) -> dict[str, Any]:
    headers = document.get("headers")
    if not isinstance(headers, dict):
        return document
    shown = {
        name: MASK if name.lower() in SECRET_HEADERS else value for name, value in headers.items()
    }
    return document | {"headers": shown}


def _attempts_max(envelope: Envelope) -> int:
    return RetryPolicy().overridden(envelope.retry).max_attempts


def _progress(noted: str | None) -> Any:
    return None if noted is None else orjson.loads(noted)


def _integer(text: str | None) -> int | None:
    return int(text) if text else None


def _seconds(age_ms: int | None) -> float | None:
    return None if age_ms is None else age_ms / 1000
