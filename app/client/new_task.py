"""A task to be submitted: Python's values in, the body of a submit out. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypedDict, Unpack

import orjson
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from app.client.errors import Invalid
from app.client.results import Level
from app.errors import FieldProblem
from app.retry import RetryPolicy

CHANNEL: Final = "python"
DEFAULT_QUEUE: Final = "default"

Payload = Mapping[str, Any] | BaseModel
Seconds = float | timedelta
Moment = int | datetime
"""Milliseconds UTC, or a datetime with a time zone."""
Priority = Literal["high", "normal", "low"]


class SubmitOptions(TypedDict, total=False):
    """What a submit may say beside type and payload; left out or None: the API's default.

    ``task_id``: the task's name within its queue; a repeat of the same request is a duplicate.
    ``idempotency_key``: any text that names the request; the task's id is derived from it.
    ``delay``: seconds until the earliest start; not together with ``not_before``.
    ``expires_at``: not started from then on.
    ``timeout``: seconds that one attempt may take.
    ``retry``: a policy, or those members of it that differ from the type's own.
    ``context``: what travels with the task: ``user``, ``chat_id``, ``traceparent``, ``channel``.
    ``durability``: the level to wait for.
    ``on_degraded``: whether a level that is not reached in time is accepted or refused.
    """

    task_id: str | None
    idempotency_key: str | None
    queue: str
    priority: Priority | None
    delay: Seconds | None
    not_before: Moment | None
    expires_at: Moment | None
    timeout: Seconds | None
    retry: RetryPolicy | Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    durability: Level | None
    on_degraded: Literal["accept", "refuse"] | None


class NewTask:
    """One task to be submitted; takes what ``Client.submit`` takes."""

    def __init__(self, type: str, payload: Payload, **options: Unpack[SubmitOptions]) -> None:
        self.type = type
        self.payload = payload
        self.options = options

    @property
    def queue(self) -> str:
        """The queue it goes to."""
        return self.options.get("queue") or DEFAULT_QUEUE

    @property
    def is_named(self) -> bool:
        """Whether the caller gave it an id or a key."""
        given = self.options
        return given.get("task_id") is not None or given.get("idempotency_key") is not None

    def body(self) -> dict[str, Any]:
        """The body of its submit, as the API names the members.

        Raises:
            ValueError: a datetime has no time zone.
        """
        given = self.options
        found = {
            "type": self.type,
            "payload": plain(self.payload),
            "taskId": given.get("task_id"),
            "queue": self.queue,
            "priority": given.get("priority"),
            "delayMs": _span_ms(given.get("delay")),
            "notBefore": moment_ms(given.get("not_before")),
            "expiresAt": moment_ms(given.get("expires_at")),
            "timeoutMs": _span_ms(given.get("timeout")),
            "retry": _retry(given.get("retry")),
            "context": _context(given.get("context"), given.get("idempotency_key")),
            "durability": given.get("durability"),
            "onDegraded": given.get("on_degraded"),
        }
        return {name: value for name, value in found.items() if value is not None}


def encoded(body: Mapping[str, Any]) -> bytes:
    """A body as JSON.

    Raises:
        Invalid: it holds what JSON cannot say.
    """
    try:
        # orjson writes a NaN as null, and a date as text: neither is what the caller gave.
        json.dumps(body, allow_nan=False)
        return orjson.dumps(body)
    except (ValueError, TypeError, RecursionError) as error:
        problem = FieldProblem("#/payload", f"Is not plain JSON: {error}.")
        raise Invalid(f"{problem.pointer}: {problem.detail}", errors=(problem,)) from error


def plain(payload: Payload) -> dict[str, Any]:
    """A payload as JSON's own types."""
    if isinstance(payload, BaseModel):
        return payload.model_dump(mode="json", by_alias=True)
    return dict(payload)


def _context(given: Mapping[str, Any] | None, key: str | None) -> dict[str, Any]:
    context: dict[str, Any] = {"channel": CHANNEL}
    context |= {to_camel(name): value for name, value in (given or {}).items() if value is not None}
    return context if key is None else context | {"idempotencyKey": key}


def _span_ms(span: Seconds | None) -> int | None:
    if span is None:
        return None
    return round((span.total_seconds() if isinstance(span, timedelta) else span) * 1_000)


def moment_ms(moment: Moment | None) -> int | None:
    """Milliseconds UTC. Raises ``ValueError`` for a datetime without a time zone."""
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: say which, for instance datetime.UTC.")
    return round(moment.timestamp() * 1_000)


def _retry(given: RetryPolicy | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    if isinstance(given, RetryPolicy):
        members: Mapping[str, Any] = (
            {"delays_ms": list(given.delays_ms), "jitter": given.jitter}
            if given.delays_ms is not None
            else {
                "max_attempts": given.max_attempts,
                "base_delay_ms": given.base_delay_ms,
                "factor": given.factor,
                "max_delay_ms": given.max_delay_ms,
                "jitter": given.jitter,
            }
        )
    else:
        members = given
    return {to_camel(name): value for name, value in members.items()}
