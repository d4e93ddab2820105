"""From our errors to RFC 9457 problems: one table, and nothing else says a status code.

A problem has ``type``, ``title``, ``status``, ``detail`` and ``code``; with 422 also ``errors``, a
list of ``{"pointer", "detail", "limit"}``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.responses import Response

from app import errors
from app.errors import FieldProblem, LifeboatError
from app.task_queue.request import TooLarge

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1


class ApiError(LifeboatError):
    """What only HTTP can get wrong."""


class MalformedJson(ApiError):
    """The body is no JSON we take."""


class UnsupportedMediaType(ApiError):
    """The body's content type is none we read."""

    def __init__(self, given: str, accepted: tuple[str, ...]) -> None:
        self.accepted = accepted
        super().__init__(f"Content-Type {given or '(none)'}: send {' or '.join(accepted)}.")


class RequestTimeout(ApiError):
    """The head or the body did not come in time."""

    def __init__(self, part: str, within_s: float) -> None:
        super().__init__(f"The request's {part} did not come within {within_s:.0f} s.")


class ClientGone(ApiError):
    """The client left before its request was whole; nobody reads the answer."""


class MalformedRequest(ApiError):
    """What came is no HTTP/1.1 request."""

    def __init__(self) -> None:
        super().__init__("What came is no HTTP/1.1 request.")


class HeadersTooLarge(ApiError):
    """More header bytes than a request may have."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"The request's headers are larger than {bytes_max:,} bytes.")


class NoSuchRoute(ApiError):
    """Nothing lives at this path."""


class NoSuchMethod(ApiError):
    """The path exists, the method does not."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__(f"{method} is not possible here: use {' or '.join(allowed)}.")


class QueueNotFound(ApiError):
    """No such queue has ever taken a task."""


class NotQuarantined(ApiError):
    """Nothing lies in the quarantine under this id."""


class RehydrationNotFound(ApiError):
    """No run of this id."""


class TooSlow(ApiError):
    """The call's own deadline is over; what was asked may have happened or not."""

    def __init__(self, sentence: str, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one error is told."""

    status: int
    code: str
    title: str


KINDS: Final[dict[type[Exception], Kind]] = {
    MalformedJson: Kind(400, "malformed_json", "The body is not valid JSON"),
    MalformedRequest: Kind(400, "malformed_request", "Not an HTTP request"),
    ClientGone: Kind(400, "client_gone", "The client left"),
    NoSuchRoute: Kind(404, "not_found", "Nothing here"),
    errors.TaskNotFound: Kind(404, "task_not_found", "No such task"),
    QueueNotFound: Kind(404, "queue_not_found", "No such queue"),
    NotQuarantined: Kind(404, "quarantine_not_found", "Not in the quarantine"),
    RehydrationNotFound: Kind(404, "rehydration_not_found", "No such rehydration"),
    NoSuchMethod: Kind(405, "method_not_allowed", "Method not allowed"),
    RequestTimeout: Kind(408, "request_timeout", "The request came too slowly"),
    errors.IdempotencyConflict: Kind(409, "idempotency_conflict", "The id is taken"),
    errors.AmbiguousTask: Kind(409, "ambiguous_task", "Several queues have this task"),
    errors.StateConflict: Kind(409, "state_conflict", "Not possible in this state"),
    errors.RehydrationRunning: Kind(409, "rehydration_running", "A rehydration is running"),
    TooLarge: Kind(413, "payload_too_large", "Too large"),
    UnsupportedMediaType: Kind(415, "unsupported_media_type", "Unsupported media type"),
    errors.InvalidTask: Kind(422, "invalid_task", "The request breaks a rule"),
    errors.EnvelopeError: Kind(422, "invalid_task", "The request breaks a rule"),
    errors.UnsupportedSchema: Kind(422, "invalid_task", "The request breaks a rule"),
    errors.UnknownQueue: Kind(422, "unknown_queue", "The queue is not on the list"),
    errors.QueueLimitReached: Kind(422, "queue_limit_reached", "Too many queues"),
    errors.DurabilityUnsupported: Kind(
        422, "durability_unsupported", "This durability cannot be had here"
    ),
    errors.QueueFull: Kind(429, "queue_full", "The queue is full"),
    HeadersTooLarge: Kind(431, "headers_too_large", "The headers are too large"),
    errors.DurabilityNotReached: Kind(
        503, "durability_not_reached", "Kept, but not as durably as asked"
    ),
    errors.Unavailable: Kind(503, "unavailable", "A store is unavailable"),
    errors.StaleGeneration: Kind(503, "unavailable", "A store is unavailable"),
    errors.LedgerMismatch: Kind(503, "unavailable", "This server must stop"),
    TooSlow: Kind(503, "unavailable", "Too slow"),
}
UNEXPECTED: Final = Kind(500, "internal_error", "Something unexpected happened")

_POINTERS: Final[dict[type[Exception], str]] = {
    errors.EnvelopeError: "#",
    errors.UnsupportedSchema: "#/schema",
    errors.UnknownQueue: "#/queue",
    errors.QueueLimitReached: "#/queue",
    errors.DurabilityUnsupported: "#/durability",
}


def kind_of(error: Exception) -> Kind:
    """The row of the table for an error."""
    for each in type(error).__mro__:
        if each in KINDS:
            return KINDS[each]
    return UNEXPECTED


def problem(error: Exception) -> dict[str, Any]:
    """The problem an error becomes."""
    kind = kind_of(error)
    detail = str(error) if kind is not UNEXPECTED else "See the server's log."
    document: dict[str, Any] = {
        "type": f"urn:lifeboat:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail or kind.title,
        "code": kind.code,
    }
    found = _field_problems(error)
    if found:
        document["errors"] = [_shown(each) for each in found]
    if isinstance(error, errors.DurabilityNotReached):
        document |= {"taskId": error.task_id, "reached": error.reached}
    if isinstance(error, errors.AcceptanceUnknown | errors.IdempotencyConflict | TooSlow):
        # Empty where no task was submitted.
        document |= {"taskId": error.task_id} if error.task_id else {}
    if isinstance(error, errors.AmbiguousTask):
        document["queues"] = list(error.queues)
    return document


def problem_response(error: Exception) -> Response:
    """The answer an error becomes, with ``Retry-After`` or ``Allow`` where they belong."""
    document = problem(error)
    return Response(
        orjson.dumps(document),
        document["status"],
        headers=dict(headers_of(error)),
        media_type=MEDIA_TYPE,
    )


def headers_of(error: Exception) -> Mapping[str, str]:
    """Headers that belong to an error's answer."""
    if kind_of(error).status in (429, 503):
        return {"Retry-After": str(math.ceil(RETRY_AFTER_S))}
    if isinstance(error, NoSuchMethod):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, UnsupportedMediaType):
        return {"Accept": ", ".join(error.accepted)}
    if isinstance(error, RequestTimeout):
        return {"Connection": "close"}
    return {}


def _field_problems(error: Exception) -> tuple[FieldProblem, ...]:
    if isinstance(error, errors.InvalidTask):
        return error.problems
    for each in type(error).__mro__:
        if each in _POINTERS:
            return (FieldProblem(_POINTERS[each], str(error)),)
    return ()


def _shown(found: FieldProblem) -> dict[str, Any]:
    shown: dict[str, Any] = {"pointer": found.pointer, "detail": found.detail}
    if found.limit is not None:
        shown["limit"] = found.limit
    return shown
