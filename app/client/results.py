"""What the API answers, typed. Times are integer milliseconds UTC.

Members that a newer API adds are kept, and ``document()`` gives back what came.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from app.client.errors import Unavailable
from app.state import FINISHED, TaskState

Level = Literal["fast", "fsync", "mirrored"]
Disposition = Literal["created", "duplicate", "unchecked"]


class Result(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="allow", frozen=True, validate_by_name=True
    )

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read an answer (camelCase members).

        Raises:
            Unavailable: it is not what this client knows.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            places = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
            raise Unavailable(
                f"The API's answer is no {cls.__name__} this client knows ({places}): upgrade the"
                " client."
            ) from error

    def document(self) -> dict[str, Any]:
        """As the API says it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Durability(Result):
    """The level asked for and the level reached."""

    requested: Level
    reached: Level


class Receipt(Result):
    """Which task stands for a submit, and how safe it is.

    ``disposition`` is ``duplicate`` where the task was there before: by another submit, or by an
    earlier try of this one whose answer was lost.
    """

    task_id: str
    queue: str
    state: TaskState
    disposition: Disposition
    durability: Durability
    accepted_by: Literal["redis", "rabbitmq"]
    degraded: bool
    accepted_at: int


class TaskError(Result):
    """Why an attempt failed."""

    type: str
    message: str
    retryable: bool
    truncated: bool = False


class Attempt(Result):
    """One attempt that ended."""

    run: int
    attempt: int
    worker: str
    started_at: int
    finished_at: int
    outcome: Literal["succeeded", "failed", "timeout", "lost", "cancelled", "given_back"]
    error: TaskError | None = None


class Progress(Result):
    """How far a running task says it is."""

    fraction: float | None
    text: str | None
    at: int


class Task(Result):
    """A task as it was when the API looked."""

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
    started_at: int | None = None
    finished_at: int | None = None
    next_attempt_at: int | None = None
    progress: Progress | None = None
    result: Any = None
    error: TaskError | None = None
    attempts: tuple[Attempt, ...] = ()
    context: dict[str, Any] = {}
    payload: dict[str, Any] = {}
    disposition: Disposition | None = None

    @property
    def is_finished(self) -> bool:
        """Whether its run is over: it ended, or waits for a person."""
        return self.state in FINISHED

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return self.state is TaskState.SUCCEEDED


class Depth(Result):
    """Tasks by state; None where the store that knows is away."""

    scheduled: int
    queued: int
    running: int
    retrying: int
    dead: int | None
    suspended: int | None


class Queue(Result):
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


class CoverageMinute(Result):
    """One minute of a queue; None where nothing is mirrored."""

    at: int
    accepted: int
    mirrored: int | None
    retired: int | None
    waiting: int | None
    missing: int | None


class Coverage(Result):
    """Whether what was accepted has its copy, by the minute and summed up."""

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
    minutes: tuple[CoverageMinute, ...]


class Canary(Result):
    """How far round a canary is."""

    task_id: str
    queue: str
    state: TaskState
    mirrored: bool
    retired: bool


class Mirror(Result):
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


class Worker(Result):
    """A worker that was seen lately."""

    worker: str
    queues: tuple[str, ...]
    types: tuple[str, ...]
    concurrency: int
    running: int
    started_at: int
    last_poll_at: int | None


class Acted(Result):
    """What an action on many tasks did: how many it met, and how many it moved."""

    matched: int
    done: int


class Quarantined(Result):
    """A copy that nobody may act on before a person has looked.

    ``body`` is its envelope, or the text of what is none; members that could not be read are empty.
    """

    id: str
    reason: str
    queue: str
    tenant: str
    task_id: str
    headers: dict[str, str] = {}
    body: Any = None
    at: int
    resolution: str | None = None
