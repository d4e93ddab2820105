"""Records as MongoDB documents and back. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from app.ledger.records import (
    About,
    ActionRecord,
    AttemptRecord,
    ErrorInfo,
    FinishedPart,
    LedgerRecord,
    Marks,
    OpenPart,
    QuarantineRecord,
    Standing,
    StreamMark,
    attempt_from,
    error_document,
)
from app.names import TaskKey
from app.state import TERMINAL, TaskState

DAY_S = 86_400
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""When parked and open records go."""
STANDING_PROJECTION = {
    "requestDigest": 1,
    "finished.run": 1,
    "finished.state": 1,
    "finished.by": 1,
    "open": 1,
}


def finished_document(finished: FinishedPart) -> dict[str, Any]:
    """``finished`` of a document."""
    return {
        "run": finished.run,
        "state": finished.state,
        "at": finished.at_ms,
        "by": finished.by,
        "attempt": finished.attempt,
        "result": finished.result,
        "error": error_document(finished.error),
    }


def about_document(about: About) -> dict[str, Any]:
    """``about`` of a document."""
    return {
        "type": about.type,
        "channel": about.channel,
        "user": about.user,
        "chatId": about.chat_id,
        "acceptedAt": about.accepted_at_ms,
    }


def open_document(part: OpenPart) -> dict[str, Any]:
    """``open`` of a document."""
    return {
        "run": part.run,
        "attempt": part.attempt,
        "phase": part.phase,
        "due": part.due_ms,
        "lost": part.lost,
        "by": part.by,
    }


def expiry(finished: FinishedPart, record_days: int) -> datetime:
    """When the record may go: parked ones never."""
    if TaskState(finished.state) not in TERMINAL:
        return NEVER
    return datetime.fromtimestamp(finished.at_ms / 1000 + record_days * DAY_S, tz=UTC)


def standing(document: dict[str, Any]) -> Standing:
    """What an ask needs of a document."""
    finished = document.get("finished") or {}
    return Standing(
        request_digest=document["requestDigest"],
        finished_run=finished.get("run", 0),
        finished_state=finished.get("state", ""),
        finished_by=finished.get("by", ""),
        open=_open(document.get("open")),
    )


def key(document: dict[str, Any]) -> TaskKey:
    """Whose document it is."""
    return TaskKey(*document["_id"].split("/", 2))


def record(key: TaskKey, document: dict[str, Any]) -> LedgerRecord:
    """Everything in a document."""
    finished = document.get("finished")
    attempts: tuple[AttemptRecord, ...] = tuple(
        attempt_from(each) for each in document.get("attempts", ())
    )
    return LedgerRecord(
        key=key,
        request_digest=document["requestDigest"],
        envelope=document.get("envelope"),
        finished=_finished(finished) if finished else None,
        open=_open(document.get("open")),
        attempts=attempts,
        about=_about(document.get("about")),
        redriven=document.get("redriven", False),
    )


def action_document(record: ActionRecord) -> dict[str, Any]:
    """An action without its id; the target as text, for its names are a stranger's."""
    document = asdict(record)
    del document["id"]
    return {**document, "target": orjson.dumps(record.target).decode()}


def action_record(document: Mapping[str, Any]) -> ActionRecord:
    """The reverse of ``action_document``."""
    members = {**document, "target": orjson.loads(document["target"])}
    return ActionRecord(id=members.pop("_id"), **members)


def marks_document(marks: Marks) -> dict[str, Any]:
    """Marks as both stores keep them."""
    return asdict(marks)


def marks(document: Mapping[str, Any]) -> Marks:
    """The reverse of ``marks_document``."""
    streams = {name: StreamMark(**mark) for name, mark in document["streams"].items()}
    return Marks(**{**document, "streams": streams, "lost": tuple(document["lost"])})


def quarantine_document(record: QuarantineRecord) -> dict[str, Any]:
    """A quarantined copy without its id; headers as pairs, for their names are a stranger's."""
    document = asdict(record)
    del document["id"]
    return {**document, "headers": [list(pair) for pair in record.headers.items()]}


def quarantine_record(document: Mapping[str, Any]) -> QuarantineRecord:
    """The reverse of ``quarantine_document``."""
    members = {**document, "headers": dict(document["headers"])}
    return QuarantineRecord(id=members.pop("_id"), **members)


def _finished(document: dict[str, Any]) -> FinishedPart:
    error = document["error"]
    return FinishedPart(
        run=document["run"],
        state=document["state"],
        at_ms=int(document["at"]),
        by=document["by"],
        attempt=document["attempt"],
        result=document["result"],
        error=ErrorInfo(**error) if error else None,
    )


def _about(document: dict[str, Any] | None) -> About | None:
    if not document:
        return None
    return About(
        type=document["type"],
        channel=document["channel"],
        user=document["user"],
        chat_id=document["chatId"],
        accepted_at_ms=document["acceptedAt"],
    )


def _open(document: dict[str, Any] | None) -> OpenPart | None:
    if not document:
        return None
    return OpenPart(
        run=document["run"],
        attempt=document["attempt"],
        phase=document["phase"],
        due_ms=int(document["due"]),
        lost=document["lost"],
        by=document["by"],
    )
