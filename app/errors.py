"""What can go wrong, in our words. Adapters translate third-party errors into these.

LifeboatError
├── SettingsError        the settings contradict each other: say which, stop (exit 2)
├── InvalidTask          a submit that breaks a rule
├── IdempotencyConflict  another request already owns this task id
├── QueueFull            back-pressure
├── QueueLimitReached    a tenant has as many queues as it may
├── UnknownQueue         LIFEBOAT_QUEUES is a closed list and this is not on it
├── TaskNotFound         both Redis and the ledger say so
├── AmbiguousTask        the id lives in several queues
├── StateConflict        the task's state does not allow this
├── DurabilityUnsupported / DurabilityNotReached
├── EnvelopeError        bytes that are no envelope
│   └── UnsupportedSchema   written by a newer Lifeboat
├── Unavailable          a store is away or too slow: the outcome is unknown
│   ├── AcceptanceUnknown   a submit nobody could confirm: repeat it under its id
│   └── StaleGeneration  Redis is not the Redis this was learnt from: forget, look again
├── RehydrationRunning   one run at a time
└── Fatal                the process must stop with this sentence
    ├── EnvMismatch      the vhost belongs to another LIFEBOAT_ENV
    ├── LedgerMismatch   another ledger than the one Redis and the copies remember
    └── TopologyMismatch a queue exists with other arguments
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field of a request."""

    pointer: str
    """JSON pointer as a URI fragment, ``#/payload/url``; ``?since`` for a query parameter."""
    detail: str
    limit: str | int | None = None


class LifeboatError(Exception):
    """Base of every error of ours; ``str()`` is a sentence for a person."""


class SettingsError(LifeboatError):
    """Settings that are missing or contradict each other."""


class InvalidTask(LifeboatError):
    """A request that breaks a rule; ``problems`` name the fields."""

    def __init__(self, *problems: FieldProblem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p.pointer}: {p.detail}" for p in problems))


class IdempotencyConflict(LifeboatError):
    """The id is taken by another request (their digests differ)."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(
            f"Task {task_id} was already submitted with another content. Use a new id, or repeat"
            " the first request unchanged."
        )


class QueueFull(LifeboatError):
    """The queue holds as much open or unmirrored work as it may."""


class QueueLimitReached(LifeboatError):
    """The tenant has as many queues as it may."""


class UnknownQueue(LifeboatError):
    """The queue is not on the closed list ``LIFEBOAT_QUEUES``."""


class TaskNotFound(LifeboatError):
    """No such task, said by Redis and by the ledger."""


class AmbiguousTask(LifeboatError):
    """The id exists in more than one queue of the tenant."""

    def __init__(self, task_id: str, queues: tuple[str, ...]) -> None:
        self.queues = queues
        super().__init__(
            f"Task {task_id} exists in the queues {', '.join(queues)}: name one with ?queue=."
        )


class StateConflict(LifeboatError):
    """The task's state does not allow this move."""


class DurabilityUnsupported(LifeboatError):
    """The wished durability level cannot be had from these servers."""


class DurabilityNotReached(LifeboatError):
    """Accepted, but not at the wished level, and the caller wants to be refused then."""

    def __init__(self, task_id: str, reached: str, sentence: str) -> None:
        self.task_id = task_id
        self.reached = reached
        super().__init__(sentence)


class EnvelopeError(LifeboatError):
    """Bytes that are no envelope of ours."""


class UnsupportedSchema(EnvelopeError):
    """An envelope written by a newer Lifeboat."""


class Unavailable(LifeboatError):
    """A store is away, refuses or is too slow; what was asked of it may have happened or not.

    ``store`` is ``redis``, ``rabbitmq`` or ``ledger``.
    """

    def __init__(self, store: str, detail: str) -> None:
        self.store = store
        self.detail = detail
        super().__init__(f"{store} is unavailable: {detail}")


class AcceptanceUnknown(Unavailable):
    """A task may have been accepted or not; repeating it under ``task_id`` is harmless."""

    def __init__(self, task_id: str, because: Unavailable) -> None:
        self.task_id = task_id
        super().__init__(because.store, because.detail)


def reason_of(error: BaseException) -> str:
    """What an error of a store's client says; a time-out says nothing by itself."""
    if isinstance(error, TimeoutError):
        return str(error) or "no answer in time"
    return str(error) or type(error).__name__


class StaleGeneration(Unavailable):
    """Redis has another history than the caller's knowledge: forget it and look again.

    Design section 6, rule 1.
    """

    def __init__(self) -> None:
        super().__init__("redis", "its data is of another generation than the caller's knowledge")


class ComingBack(Unavailable):
    """No store is away: a task, or all of a queue, is on its way into Redis. Look again soon."""


class RehydrationRunning(LifeboatError):
    """A rehydrate run is under way; one at a time."""


class Fatal(LifeboatError):
    """The process must stop with this sentence: going on could destroy work."""


class EnvMismatch(Fatal):
    """The RabbitMQ vhost belongs to another ``LIFEBOAT_ENV``."""


class LedgerMismatch(Fatal):
    """The ledger is not the one that Redis and the copies remember."""


class TopologyMismatch(Fatal):
    """A RabbitMQ queue exists with other arguments than ours."""
