"""What a submit may say: the shape of its body and its limits. Pure.

``read_request`` turns a body into ``Prepared`` or raises ``InvalidTask`` with every problem found.
The envelope is encoded here, once.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from app import envelope as envelopes
from app import names
from app.amqp.message import FENCE_TYPE
from app.envelope import Envelope
from app.errors import EnvelopeError, FieldProblem, InvalidTask, LifeboatError
from app.retry import MAX_ATTEMPTS_LIMIT, MAX_DELAY_LIMIT_MS
from app.task_queue.problems import problems_of

DEFAULT_QUEUE: Final = "default"
LATEST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
FACTOR_MAX: Final = 100
RUN_MAX: Final = 1_000_000
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
TIMEOUT_MS_MIN, TIMEOUT_MS_MAX = 100, 86_400_000

Level = Literal["fast", "fsync", "mirrored"]
OnDegraded = Literal["accept", "refuse"]
Channel = Literal["http", "telegram", "python", "cli", "outbox"]

DelayMs = Annotated[int, Field(ge=0, le=MAX_DELAY_LIMIT_MS)]
DueMs = Annotated[int, Field(ge=0, le=LATEST_MS)]


def _text_or_integer(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("Must be a string or an integer.")  # noqa: TRY004 - pydantic wants it
    return value


def _no_mark(type: str) -> str:
    if type == FENCE_TYPE:
        raise ValueError("Is the type of the marks of rehydrate runs: choose another.")
    return type


# Not a plain union: its branches would show in the pointers of errors.
TextOrInteger = Annotated[
    Any, AfterValidator(_text_or_integer), WithJsonSchema({"type": ["string", "integer"]})
]
KEY_POINTER: Final = "#/context/idempotencyKey"
OPTIONS: Final = ("priority", "notBefore", "expiresAt", "timeoutMs", "retry", "events")


class TooLarge(LifeboatError):
    """More bytes than an envelope, a batch or a request may have."""

    def __init__(self, what: str, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(
            f"{what} is larger than {bytes_max:,} bytes. Send less: keep what is large elsewhere,"
            " and put its address into the payload."
        )


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
    )


class RetryOptions(_Strict):
    """How often and after which delays: an explicit list, or a growing delay."""

    max_attempts: int = Field(8, ge=1, le=MAX_ATTEMPTS_LIMIT)
    base_delay_ms: DelayMs = 15_000
    factor: float = Field(2.0, ge=1, le=FACTOR_MAX, allow_inf_nan=False)
    max_delay_ms: DelayMs = 180_000
    jitter: float = Field(0.2, ge=0, le=1, allow_inf_nan=False)
    delays_ms: list[DelayMs] = Field(
        default=[],
        max_length=MAX_ATTEMPTS_LIMIT - 1,
        description="n delays mean n+1 attempts; excludes the members above but jitter.",
    )


DEFAULT_RETRY: Final = RetryOptions()


class Context(_Strict):
    """Where the task came from; shown again by every view, never interpreted."""

    channel: Channel = "http"
    idempotency_key: str = Field("", pattern=f"^{names.IDEMPOTENCY_KEY_PATTERN}$")
    traceparent: str = ""
    user: str = ""
    chat_id: TextOrInteger = ""


class SubmitTask(_Strict):
    """The body of a submit."""

    type: Annotated[str, AfterValidator(_no_mark)] = Field(
        pattern=f"^{names.TYPE_PATTERN}$", examples=["http.deliver"]
    )
    payload: dict[str, Any] = Field(examples=[{"url": "https://example.org/hook", "json": {}}])
    task_id: str = Field(
        "",
        pattern=f"^{names.TASK_ID_PATTERN}$",
        description="Given by the caller, so that a repeat is recognised; unset: a new UUIDv7.",
    )
    queue: str = Field(DEFAULT_QUEUE, pattern=f"^{names.QUEUE_PATTERN}$")
    priority: Literal["high", "normal", "low"] = "normal"
    not_before: DueMs = Field(0, description="Earliest start, milliseconds UTC.")
    delay_ms: DelayMs = Field(0, description="Earliest start, milliseconds from now.")
    expires_at: int = Field(
        LATEST_MS, ge=1, le=LATEST_MS, description="Not started from then on, milliseconds UTC."
    )
    timeout_ms: int = Field(
        envelopes.DEFAULT_TIMEOUT_MS,
        ge=TIMEOUT_MS_MIN,
        le=TIMEOUT_MS_MAX,
        description="Limit for one attempt.",
    )
    # A default holding a list would be copied, deeply, for every request.
    retry: RetryOptions = Field(default_factory=lambda: DEFAULT_RETRY)
    context: Context = Context()
    durability: Level = Field("mirrored", description="Unset: the server's default.")
    on_degraded: OnDegraded = Field("accept", description="Unset: the server's default.")
    events: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What a submit is judged by, from the settings."""

    tenant: str
    durability: Level
    on_degraded: OnDegraded
    envelope_bytes_max: int
    context_chars_max: int
    payloads: Mapping[str, type[BaseModel]]
    """Payload models of the built-in types."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task ready to be accepted. ``fresh``: its id was made for this very submit (rule 7)."""

    envelope: Envelope
    fresh: bool
    durability: Level
    on_degraded: OnDegraded


@dataclass(frozen=True, slots=True)
class Origin:
    """What a submit's surroundings say: its channel, and what came beside the body."""

    channel: Channel
    key: str | None = None
    traceparent: str | None = None


def read_request(body: Any, rules: Rules, origin: Origin, now_ms: int) -> Prepared:
    """Judge a submit body (camelCase members) and write its envelope.

    Raises:
        InvalidTask: names every field that breaks a rule.
        TooLarge: the envelope exceeds its limit.
    """
    try:
        task = SubmitTask.model_validate(body, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidTask(*problems_of(error)) from error
    context = _context(body, origin)
    problems = _broken_relations(task, body, context, rules, origin, now_ms)
    problems += payload_problems(task.type, task.payload, rules.payloads)
    if problems:
        raise InvalidTask(*problems)
    name = names.QueueName(rules.tenant, task.queue)
    options = {option: body[option] for option in OPTIONS if option in body}
    if task.delay_ms:
        options["notBefore"] = now_ms + task.delay_ms
    key = context.get("idempotencyKey")
    fresh = key is None and not task.task_id
    task_id = task.task_id or (names.derived_task_id(name, key) if key else names.new_task_id())
    envelope = _encoded(task, name.task(task_id), context, options, body, now_ms)
    check_envelope_size(envelope, rules.envelope_bytes_max)
    return Prepared(
        envelope,
        fresh,
        task.durability if "durability" in body else rules.durability,
        task.on_degraded if "onDegraded" in body else rules.on_degraded,
    )


def read_envelope(raw: bytes, rules: Rules) -> Prepared:
    """Judge an envelope that was written before, as it lies in RabbitMQ; its bytes are kept.

    Raises:
        EnvelopeError: not an envelope, or one of a newer schema.
        InvalidTask: another tenant's, or its members break the rules of a submit.
        TooLarge: it exceeds its limit.
    """
    envelope = envelopes.decode(raw)
    problems = _head_problems(envelope, rules)
    if problems:
        raise InvalidTask(*problems)
    given: dict[str, Any] = {n: envelope.options[n] for n in OPTIONS if n in envelope.options}
    given |= {"type": envelope.type, "payload": envelope.payload, "queue": envelope.queue}
    given |= {"taskId": envelope.task_id, "context": envelope.context}
    try:
        task = SubmitTask.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidTask(*(_in_envelope(each) for each in problems_of(error))) from error
    problems = payload_problems(task.type, task.payload, rules.payloads)
    problems += _context_problems(envelope.context, rules.context_chars_max)
    if problems:
        raise InvalidTask(*problems)
    check_envelope_size(envelope, rules.envelope_bytes_max)
    return Prepared(envelope, False, rules.durability, rules.on_degraded)


def _head_problems(envelope: Envelope, rules: Rules) -> list[FieldProblem]:
    found = []
    if envelope.tenant != rules.tenant:
        found.append(FieldProblem("#/tenant", f"Is another tenant than {rules.tenant}."))
    if not DIGEST.fullmatch(envelope.request_digest):
        found.append(FieldProblem("#/requestDigest", "Must be 64 lower-case hex digits."))
    for name, value, most in (
        ("run", envelope.run, RUN_MAX),
        ("acceptedAt", envelope.accepted_at_ms, LATEST_MS),
    ):
        if value > most:
            found.append(FieldProblem(f"#/{name}", f"Must be at most {most}.", most))
    return found


def _in_envelope(problem: FieldProblem) -> FieldProblem:
    first = problem.pointer.split("/")[1]
    if first not in OPTIONS:
        return problem
    return replace(problem, pointer=problem.pointer.replace("#/", "#/options/", 1))


def _context(body: dict[str, Any], origin: Origin) -> dict[str, Any]:
    context: dict[str, Any] = {"channel": origin.channel}
    if origin.key is not None:
        context["idempotencyKey"] = origin.key
    if origin.traceparent is not None:
        context["traceparent"] = origin.traceparent
    given = body.get("context")
    return context | given if given else context


def _broken_relations(
    task: SubmitTask,
    body: dict[str, Any],
    context: dict[str, Any],
    rules: Rules,
    origin: Origin,
    now_ms: int,
) -> list[FieldProblem]:
    found = []
    if "notBefore" in body and "delayMs" in body:
        found.append(FieldProblem("#/delayMs", "Give notBefore or delayMs, not both."))
    if task.not_before > now_ms + MAX_DELAY_LIMIT_MS:
        found.append(
            FieldProblem(
                "#/notBefore", "Must be at most 366 days from now.", now_ms + MAX_DELAY_LIMIT_MS
            )
        )
    key = context.get("idempotencyKey")
    if origin.key is not None and not names.is_idempotency_key(origin.key):
        sentence = f"Must match {names.IDEMPOTENCY_KEY_PATTERN}."
        found.append(FieldProblem(KEY_POINTER, sentence, names.IDEMPOTENCY_KEY_PATTERN))
    if key is not None and origin.key is not None and key != origin.key:
        found.append(FieldProblem(KEY_POINTER, "Differs from the key given beside the body."))
    if key is not None and task.task_id:
        found.append(FieldProblem("#/taskId", "Give taskId or an idempotency key, not both."))
    if "retry" in body:
        found += _retry_problems(body["retry"])
    if "context" in body or origin.traceparent is not None:
        found += _context_problems(context, rules.context_chars_max)
    return found


def _retry_problems(retry: dict[str, Any]) -> list[FieldProblem]:
    if "delaysMs" not in retry:
        return []
    return [
        FieldProblem(f"#/retry/{name}", "Not together with delaysMs.")
        for name in ("maxAttempts", "baseDelayMs", "factor", "maxDelayMs")
        if name in retry
    ]


def _context_problems(context: dict[str, Any], chars_max: int) -> list[FieldProblem]:
    return [
        FieldProblem(f"#/context/{name}", f"Must have at most {chars_max} characters.", chars_max)
        for name, text in context.items()
        if isinstance(text, str) and len(text) > chars_max
    ]


def payload_problems(
    type: str, payload: dict[str, Any], payloads: Mapping[str, type[BaseModel]]
) -> list[FieldProblem]:
    """What the model of a type has against a payload; nothing where ``payloads`` has no model."""
    model = payloads.get(type)
    if model is None:
        return []
    try:
        model.model_validate(payload)
    except ValidationError as error:
        return problems_of(error, "#/payload")
    return []


def _encoded(
    task: SubmitTask,
    key: names.TaskKey,
    context: dict[str, Any],
    options: dict[str, Any],
    body: dict[str, Any],
    now_ms: int,
) -> Envelope:
    try:
        return envelopes.encode(
            key=key,
            type=task.type,
            payload=task.payload,
            context=context,
            options=options,
            run=1,
            digest=envelopes.request_digest(body),
            accepted_at_ms=now_ms,
        )
    except (EnvelopeError, TypeError) as error:
        raise InvalidTask(FieldProblem("#/payload", f"Is not plain JSON: {error}")) from error


def check_envelope_size(envelope: Envelope, bytes_max: int) -> None:
    """Refuse an envelope that is too long.

    Raises:
        TooLarge: it is.
    """
    if len(envelope.raw) > bytes_max:
        raise TooLarge("The task's envelope", bytes_max)


def check_plain_json(body: dict[str, Any]) -> None:
    """Refuse what Python may hold and JSON cannot say (a NaN would silently become null).

    Raises:
        InvalidTask: naming the payload.
    """
    try:
        json.dumps(body, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidTask(FieldProblem("#/payload", f"Is not plain JSON: {error}.")) from error
