"""Messages: an envelope and where it came from, as one AMQP message, and back. Pure.

Owns the header table (``docs/reference/amqp-topology.md``).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final, NamedTuple

from app.amqp.table import Headers, HeaderValue
from app.amqp.topology import TASKS, mirror_queue
from app.envelope import MEDIA_TYPE, Envelope, decode
from app.errors import EnvelopeError, UnsupportedSchema

APP_ID: Final = "lifeboat"
FENCE_TYPE: Final = "lifeboat.fence"
FENCE_HEADER: Final = "x-fence"
PERSISTENT: Final = 2

_REQUIRED: Final = ("x-digest", "x-env", "x-ledger", "x-generation", "x-journal-id")
_NAMED: Final = ("x-task-id", "x-tenant", "x-queue", "x-run", "x-schema", "x-accepted-at")
_TEXTS: Final = (str,) * len(_REQUIRED)
_required: Final = itemgetter(*_REQUIRED)
_named: Final = itemgetter(*_NAMED)
# One copy after the other: a call of a tuple's class costs twice as much.
_new: Final = tuple.__new__


class Publication(NamedTuple):
    """One message to publish, as often as need be.

    The publisher adds a fresh ``message_id`` to each publish: aiormq 7.2.4 matches returned
    messages by it, and with two of the same in flight took an unroutable one for confirmed.
    """

    exchange: str
    routing_key: str
    body: bytes
    headers: Headers
    type: str
    timestamp_s: int
    correlation_id: str | None = None
    content_type: str | None = None
    app_id: str = APP_ID
    delivery_mode: int = PERSISTENT


class Origin(NamedTuple):
    """Where a copy was made: what its headers say beside the envelope.

    ``generation`` and ``journal_id`` are empty for a task that never was in Redis.
    """

    env: str
    ledger: str
    generation: str = ""
    journal_id: str = ""


class Unreadability(StrEnum):
    """Why a message is no copy; the finding's name in the quarantine."""

    HEADERS_MISSING = "HEADERS_MISSING"
    DIGEST_DIFFERS = "DIGEST_DIFFERS"
    SCHEMA_TOO_NEW = "SCHEMA_TOO_NEW"
    NOT_AN_ENVELOPE = "NOT_AN_ENVELOPE"
    HEADERS_DIFFER = "HEADERS_DIFFER"


class Copy(NamedTuple):
    """A task as RabbitMQ holds it."""

    envelope: Envelope
    origin: Origin


@dataclass(frozen=True, slots=True)
class Fence:
    """The mark of a rehydrate run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that is no copy; the names are what its headers claim, empty where unknown."""

    reason: Unreadability
    detail: str
    tenant: str
    queue: str
    task_id: str


def copy_publication(envelope: Envelope, origin: Origin, timestamp_s: int) -> Publication:
    """The message that carries ``envelope``; its body is the envelope's own bytes.

    ``timestamp_s`` is the time of publishing, Unix seconds.
    """
    return Publication(
        exchange=TASKS,
        routing_key=f"{envelope.queue}.{envelope.tenant}.{envelope.type}",
        body=envelope.raw,
        headers=copy_headers(envelope, origin),
        type=envelope.type,
        timestamp_s=timestamp_s,
        correlation_id=envelope.task_id,
        content_type=MEDIA_TYPE,
    )


def copy_headers(envelope: Envelope, origin: Origin) -> dict[str, HeaderValue]:
    """The headers of a copy, in alphabetical order."""
    headers: dict[str, HeaderValue] = {}
    traceparent = envelope.context.get("traceparent")
    if isinstance(traceparent, str) and traceparent:
        headers["traceparent"] = traceparent
    headers["x-accepted-at"] = envelope.accepted_at_ms
    headers["x-digest"] = hashlib.sha256(envelope.raw).hexdigest()
    headers["x-env"] = origin.env
    headers["x-generation"] = origin.generation
    headers["x-journal-id"] = origin.journal_id
    headers["x-ledger"] = origin.ledger
    headers["x-queue"] = envelope.queue
    headers["x-run"] = envelope.run
    headers["x-schema"] = envelope.schema
    headers["x-task-id"] = envelope.task_id
    headers["x-tenant"] = envelope.tenant
    return headers


def fence_publication(queue: str, run_id: str, timestamp_s: int) -> Publication:
    """The mark of rehydrate run ``run_id``, straight into the mirror queue of ``queue``."""
    return Publication(
        exchange="",
        routing_key=mirror_queue(queue),
        body=b"",
        headers={FENCE_HEADER: run_id},
        type=FENCE_TYPE,
        timestamp_s=timestamp_s,
    )


def read_copy(
    headers: Mapping[str, Any], body: bytes, message_type: str | None
) -> Copy | Fence | Unreadable:
    """What a message from a mirror queue is.

    ``message_type`` is the AMQP property ``type``.
    """
    # A task may have this type, too; its copy has a body.
    if message_type == FENCE_TYPE and not body:
        return Fence(str(headers.get(FENCE_HEADER, "")))
    try:
        return _read(headers, body)
    except UnsupportedSchema as error:
        return _unreadable(headers, Unreadability.SCHEMA_TOO_NEW, str(error))
    except EnvelopeError as error:
        return _unreadable(headers, Unreadability.NOT_AN_ENVELOPE, str(error))


def _read(headers: Mapping[str, Any], body: bytes) -> Copy | Unreadable:
    try:
        required = _required(headers)
    except KeyError:
        required = ()
    if tuple(map(type, required)) != _TEXTS:
        missing = [name for name in _REQUIRED if not isinstance(headers.get(name), str)]
        detail = f"It lacks the headers {', '.join(missing)}."
        return _unreadable(headers, Unreadability.HEADERS_MISSING, detail)
    digest, env, ledger, generation, journal_id = required
    found = hashlib.sha256(body).hexdigest()
    if found != digest:
        detail = f"Its body has the SHA-256 {found}; x-digest says {digest}."
        return _unreadable(headers, Unreadability.DIGEST_DIFFERS, detail)
    envelope = decode(body)
    if differing := _differing(headers, envelope):
        detail = f"Its headers differ from its envelope: {', '.join(differing)}."
        return _unreadable(headers, Unreadability.HEADERS_DIFFER, detail)
    return _new(Copy, (envelope, _new(Origin, (env, ledger, generation, journal_id))))


def _differing(headers: Mapping[str, Any], envelope: Envelope) -> list[str]:
    expected: tuple[HeaderValue, ...] = (
        envelope.task_id,
        envelope.tenant,
        envelope.queue,
        envelope.run,
        envelope.schema,
        envelope.accepted_at_ms,
    )
    try:
        given = _named(headers)
    except KeyError:
        given = tuple(map(headers.get, _NAMED))
    if given == expected:
        return []
    return [name for name, one, other in zip(_NAMED, given, expected, strict=True) if one != other]


def _unreadable(headers: Mapping[str, Any], reason: Unreadability, detail: str) -> Unreadable:
    def claimed(name: str) -> str:
        value = headers.get(name)
        return value if isinstance(value, str) else ""

    return Unreadable(reason, detail, claimed("x-tenant"), claimed("x-queue"), claimed("x-task-id"))
