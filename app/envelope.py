"""The envelope: one task as it travels, encoded once, the same bytes in every store.

Owns the schema versions, the encoding and the request digest (``docs/reference/envelope.md``).
Pure. Does not judge what a user may submit (``app.task_queue.request`` does): it reads what
Lifeboat once wrote, which must decode for ever.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from app.errors import EnvelopeError, UnsupportedSchema
from app.names import QueueName, TaskKey, is_queue, is_task_id, is_type

SCHEMA: Final = 1
PRIORITIES: Final = ("high", "normal", "low")
DEFAULT_PRIORITY: Final = "normal"
DEFAULT_TIMEOUT_MS: Final = 30_000
MEDIA_TYPE: Final = "application/vnd.lifeboat.envelope+json"
DIGEST_FIELDS: Final = (
    "type",
    "payload",
    "notBefore",
    "delayMs",
    "expiresAt",
    "priority",
    "timeoutMs",
    "retry",
    "events",
)
"""What makes two requests the same request; members count as given, absent ones are left out."""
NUMBER_MAX: Final = 1 << 53
"""The largest integer that every store and JSON reader keeps exactly."""

_MEMBERS: Final = {
    "taskId": str,
    "type": str,
    "queue": str,
    "tenant": str,
    "payload": dict,
    "run": int,
    "requestDigest": str,
    "acceptedAt": int,
    "context": dict,
    "options": dict,
}
_read: Final = itemgetter(*_MEMBERS)


class Envelope(NamedTuple):
    """A decoded envelope beside its bytes: a tuple, for one is made of each task in each store.

    ``options`` and ``context`` keep the camelCase members of the wire; unknown members survive in
    ``raw`` because the bytes are never written again.
    """

    raw: bytes
    task_id: str
    type: str
    queue: str
    tenant: str
    payload: dict[str, Any]
    run: int
    request_digest: str
    accepted_at_ms: int
    context: dict[str, Any]
    options: dict[str, Any]
    schema: int = SCHEMA

    @property
    def key(self) -> TaskKey:
        """The task's full name."""
        return TaskKey(self.tenant, self.queue, self.task_id)

    @property
    def queue_name(self) -> QueueName:
        """The queue it belongs to."""
        return QueueName(self.tenant, self.queue)

    @property
    def priority(self) -> str:
        """``high``, ``normal`` or ``low``."""
        value: str = self.options.get("priority", DEFAULT_PRIORITY)
        return value

    @property
    def not_before_ms(self) -> int:
        """Earliest start, 0 = at once."""
        value: int = self.options.get("notBefore") or 0
        return value

    @property
    def expires_at_ms(self) -> int:
        """Never started from then on, 0 = never expires."""
        value: int = self.options.get("expiresAt") or 0
        return value

    @property
    def timeout_ms(self) -> int | None:
        """The task's own limit for one attempt; None: its type's."""
        return self.options.get("timeoutMs")

    @property
    def retry(self) -> dict[str, Any] | None:
        """The task's own retry members (camelCase) or None."""
        return self.options.get("retry")


def request_digest(given: Mapping[str, Any]) -> str:
    """Lower-case hex SHA-256 of the canonical JSON of a request's ``DIGEST_FIELDS`` as given."""
    chosen = {name: given[name] for name in DIGEST_FIELDS if name in given}
    return hashlib.sha256(orjson.dumps(chosen, option=orjson.OPT_SORT_KEYS)).hexdigest()


def encode(
    *,
    key: TaskKey,
    type: str,
    payload: dict[str, Any],
    context: dict[str, Any],
    options: dict[str, Any],
    run: int,
    digest: str,
    accepted_at_ms: int,
) -> Envelope:
    """Write a new envelope of the current schema.

    Raises:
        EnvelopeError: the payload holds what JSON cannot say.
    """
    document = {
        "schema": SCHEMA,
        "taskId": key.task_id,
        "type": type,
        "queue": key.queue,
        "tenant": key.tenant,
        "payload": payload,
        "context": context,
        "options": options,
        "run": run,
        "requestDigest": digest,
        "acceptedAt": accepted_at_ms,
    }
    try:
        raw = orjson.dumps(document)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise EnvelopeError(f"The envelope cannot be encoded: {error}.") from error
    return Envelope(
        raw=raw,
        task_id=key.task_id,
        type=type,
        queue=key.queue,
        tenant=key.tenant,
        payload=payload,
        run=run,
        request_digest=digest,
        accepted_at_ms=accepted_at_ms,
        context=context,
        options=options,
    )


def decode(raw: bytes) -> Envelope:
    """Read an envelope of any schema ever written.

    Raises:
        EnvelopeError: not an envelope; the sentence names the member.
        UnsupportedSchema: written by a newer Lifeboat.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EnvelopeError(f"The envelope is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise EnvelopeError("The envelope is not a JSON object.")
    schema = document.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise EnvelopeError("The envelope's member schema is missing or not a positive integer.")
    if schema > SCHEMA:
        raise UnsupportedSchema(
            f"The envelope has schema {schema}; this Lifeboat reads up to {SCHEMA}. Upgrade it."
        )
    return _decode_v1(raw, document)


def _decode_v1(raw: bytes, document: dict[str, Any]) -> Envelope:
    try:
        members = _read(document)
    except KeyError:
        raise EnvelopeError(_broken_member(document)) from None
    task_id, type_, queue, tenant, payload, run, digest, at_ms, context, options = members
    # Exact types: orjson makes no others, and a bool is an int to isinstance.
    texts = type(task_id) is type(type_) is type(queue) is type(tenant) is type(digest) is str
    objects = type(payload) is type(context) is type(options) is dict
    if not (texts and objects and type(run) is type(at_ms) is int):
        raise EnvelopeError(_broken_member(document))
    if not is_task_id(task_id):
        raise EnvelopeError(_broken_name("taskId"))
    _check_names(type_, queue, tenant)
    if not (1 <= run <= NUMBER_MAX and 1 <= at_ms <= NUMBER_MAX):
        name = "acceptedAt" if 1 <= run <= NUMBER_MAX else "run"
        raise EnvelopeError(f"The envelope's member {name} must be from 1 to {NUMBER_MAX}.")
    if options:
        _check_options(options)
    # The members are in the envelope's own order; one by one they cost a tenth of a decode.
    return Envelope._make((raw, *members, 1))


def _broken_member(document: dict[str, Any]) -> str:
    """The first one that is missing or of another type."""
    name = next(name for name, kind in _MEMBERS.items() if type(document.get(name)) is not kind)
    return f"The envelope's member {name} is missing or no {_MEMBERS[name].__name__}."


@lru_cache(maxsize=512)
def _check_names(type_: str, queue: str, tenant: str) -> None:
    """The same few in all envelopes; what is raised is not remembered."""
    for name, is_sound in (
        ("type", is_type(type_)),
        ("queue", is_queue(queue)),
        ("tenant", is_queue(tenant)),
    ):
        if not is_sound:
            raise EnvelopeError(_broken_name(name))


def _broken_name(name: str) -> str:
    return f"The envelope's member {name} breaks the rule for its name."


def _check_options(options: dict[str, Any]) -> None:
    # Those that decide when and how a task runs; a stranger's must not reach the scripts.
    if options.get("priority", DEFAULT_PRIORITY) not in PRIORITIES:
        raise EnvelopeError("The envelope's option priority is none of high, normal, low.")
    for name in ("notBefore", "expiresAt", "timeoutMs"):
        if options.get(name) is not None and not _is_number(options[name]):
            raise EnvelopeError(f"The envelope's option {name} is not a number of milliseconds.")
    retry = options.get("retry")
    if retry is not None and not _is_retry(retry):
        raise EnvelopeError("The envelope's option retry is not a retry policy.")


def _is_retry(retry: object) -> bool:
    if not isinstance(retry, dict):
        return False
    delays = retry.get("delaysMs", [])
    numbers = (retry.get(name, 0) for name in ("maxAttempts", "baseDelayMs", "maxDelayMs"))
    return (
        isinstance(delays, list)
        and all(_is_number(each) for each in (*delays, *numbers))
        and all(
            _is_number(retry.get(name, 0)) or isinstance(retry[name], float)
            for name in ("factor", "jitter")
        )
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX
