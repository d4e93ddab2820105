"""The shapes of answers, for people who read ``/docs``; ``app.task_queue`` builds the answers.

Tests compare each shape with what is really sent.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from app.envelope import MEDIA_TYPE as ENVELOPE
from app.state import TaskState
from app.task_queue.request import Level

REFERENCE = "#/components/schemas/{model}"


class _Shown(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Durability(_Shown):
    """The level asked for and the level reached."""

    requested: Level
    reached: Level


class Receipt(_Shown):
    """What a submit is answered with."""

    task_id: str
    queue: str
    state: TaskState
    disposition: Literal["created", "duplicate", "unchecked"]
    durability: Durability
    accepted_by: Literal["redis", "rabbitmq"]
    degraded: bool
    accepted_at: int


class TaskError(_Shown):
    """Why an attempt failed."""

    type: str
    message: str
    retryable: bool
    truncated: bool = False


class Attempt(_Shown):
    """One attempt that ended; times in milliseconds UTC."""

    run: int
    attempt: int
    worker: str
    started_at: int
    finished_at: int
    outcome: Literal["succeeded", "failed", "timeout", "lost", "cancelled", "given_back"]
    error: TaskError | None


class Progress(_Shown):
    """How far a running task says it is."""

    fraction: float | None
    text: str | None
    at: int


class Task(_Shown):
    """A task as it is now."""

    task_id: str
    type: str
    queue: str
    tenant: str
    state: TaskState
    run: int
    attempt: int
    max_attempts: int
    durability: Level
    accepted_at: int
    started_at: int | None
    finished_at: int | None
    next_attempt_at: int | None
    progress: Progress | None
    result: Any
    error: TaskError | None
    attempts: list[Attempt]
    context: dict[str, Any]
    payload: dict[str, Any]
    disposition: Literal["created", "duplicate", "unchecked"] | None = None


class TaskList(_Shown):
    """A page of tasks; the next one is had with ``cursor``, null on the last."""

    items: list[Task]
    cursor: str | None


class Acted(_Shown):
    """How many tasks were meant, and of how many what was asked for is so now."""

    matched: int
    done: int


class Cleared(_Shown):
    """How many tasks were cancelled."""

    cancelled: int


class Depth(_Shown):
    """Tasks by state; null where the store that knows is away."""

    scheduled: int
    queued: int
    running: int
    retrying: int
    dead: int | None
    suspended: int | None


class Queue(_Shown):
    """A queue and its figures."""

    queue: str
    tenant: str
    paused: bool
    depth: Depth
    oldest_queued_seconds: float | None
    accepted_per_second: float
    settled_per_second: float
    unmirrored_tasks: int
    unmirrored_oldest_seconds: float | None
    copies: int | None
    workers: int | None


class CoverageMinute(_Shown):
    """One minute of a queue, by Redis's clock; null where nothing is mirrored.

    `accepted` and `mirrored` are of the runs accepted in it, `retired` counts the copies that left
    in it. `missing`: without a confirmed copy although they should have one; `waiting`: still on
    the way.
    """

    at: int
    accepted: int
    mirrored: int | None
    retired: int | None
    waiting: int | None
    missing: int | None


class Coverage(_Shown):
    """Whether what was accepted has its copy, by the minute, the oldest first, and summed up.

    `since`: what is older was not counted. `journalFrom`: when the oldest entry of the journal was
    written. `lost`: the missing ones that are not in the journal either: nobody will publish them.
    """

    queue: str
    tenant: str
    since: int | None
    journal_from: int | None
    accepted: int
    mirrored: int | None
    retired: int | None
    waiting: int | None
    missing: int | None
    lost: int | None
    minutes: list[CoverageMinute]


class Canary(_Shown):
    """How far round a canary is: `mirrored` and `retired` as its copy was confirmed and left."""

    task_id: str
    queue: str
    state: TaskState
    mirrored: bool
    retired: bool


class Mirror(_Shown):
    """How far the copies of one queue are."""

    queue: str
    tenant: str
    journal_length: int
    unmirrored_tasks: int
    oldest_unmirrored_seconds: float | None
    watermark: str | None
    confirmed: int
    returned: int
    refused: int
    unknown: int
    quarantined: int
    blocked: bool
    leader: str | None


class Worker(_Shown):
    """A worker that lives; times in milliseconds UTC by its own clock."""

    worker: str
    queues: list[str]
    types: list[str]
    concurrency: int
    running: int
    started_at: int
    last_poll_at: int | None


class Workers(_Shown):
    """A list of workers."""

    items: list[Worker]
    cursor: str | None


class QuarantinedCopy(_Shown):
    """A copy nobody may act on before a person looked at it; no envelope: its body as text."""

    id: str
    reason: str
    queue: str
    tenant: str
    task_id: str
    headers: dict[str, str]
    body: Any
    at: int
    resolution: str | None


class QuarantinedCopies(_Shown):
    """A list of quarantined copies."""

    items: list[QuarantinedCopy]
    cursor: str | None


class Rehydration(_Shown):
    """A run that brings back what Redis lost; ``total`` is an estimate until it has ended."""

    id: str
    state: Literal["requested", "running", "complete", "partial", "failed"]
    dry_run: bool
    queue: str | None
    tenant: str | None
    seen: int
    total: int
    restored: int
    present: int
    finished: int
    cancelled: int
    expired: int
    quarantined: int
    started_at: int
    finished_at: int | None
    problems: list[str]


class Rehydrations(_Shown):
    """A list of runs."""

    items: list[Rehydration]
    cursor: str | None


class Queues(_Shown):
    """A list of queues."""

    items: list[Queue]
    cursor: str | None


class Mirrors(_Shown):
    """A list of mirrors."""

    items: list[Mirror]
    cursor: str | None


class Health(_Shown):
    """Whether a process takes work; each check's word is ``ok`` or why not."""

    status: Literal["ok", "degraded"]
    checks: dict[str, str]


class ProblemError(_Shown):
    """One thing wrong with one field."""

    pointer: str
    detail: str
    limit: str | int | None = None


class Problem(_Shown):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemError] = []
    task_id: str | None = None
    reached: Level | None = None
    queues: list[str] = []


class BatchAnswer(_Shown):
    """Each task of a batch, in order: its receipt, or why it was refused."""

    items: list[Receipt | Problem]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented refusals of a route."""
    return {status: {"model": Problem, "description": "A problem."} for status in statuses}


def submit_documentation() -> dict[str, Any]:
    """What OpenAPI cannot learn from a route that reads its body itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": REFERENCE.format(model="SubmitTask")}},
                ENVELOPE: {"schema": {"type": "object", "description": "Taken unchanged."}},
            },
        },
        "parameters": [
            _header("Idempotency-Key", "Derives the task's id; bare or quoted."),
            _header("Prefer", "`wait=N`: answer with the task if it finishes within N seconds."),
            _header("traceparent", "Kept in the task's context."),
        ],
    }


def batch_documentation(lines: str) -> dict[str, Any]:
    """The same for a batch; ``lines`` is the media type of one task a line."""
    task = {"$ref": REFERENCE.format(model="SubmitTask")}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "array", "items": task}},
                lines: {"schema": {"type": "string", "description": "One task a line."}},
            },
        },
        "parameters": [_header("traceparent", "Kept in the context of every task.")],
    }


def body_documentation(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """The same for a route whose body is ``model``."""
    schema = {"$ref": REFERENCE.format(model=model.__name__)}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": required, "content": content}}


def components(*models: type[BaseModel]) -> dict[str, Any]:
    """The schemas that such documentation refers to."""
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(by_alias=True, ref_template=REFERENCE)
        found |= {**schema.pop("$defs", {}), model.__name__: schema}
    return found


def _header(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "schema": schema, "description": description}
