"""What the ledger holds, and the two decisions it takes. Pure.

A record stands for one task: its latest finished run, beside it the open part of an unfinished run
(``docs/explanation/architecture.md``), and the history of attempts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from app.envelope import Envelope
from app.names import TaskKey
from app.state import FINISHED

HISTORY_MAX = 200

Phase = Literal["started", "failed"]
Outcome = Literal["succeeded", "failed", "timeout", "lost", "cancelled", "given_back"]


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an attempt failed."""

    type: str
    message: str
    retryable: bool
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt that ended; times in ms."""

    run: int
    attempt: int
    worker: str
    started_at: int
    finished_at: int
    outcome: Outcome
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class OpenPart:
    """How far an unfinished run got: an attempt started, or failed with a next due time.

    ``due_ms`` of one that started is when it did, by Redis's clock. ``lost`` counts the attempts of
    this run that ended with their worker lost.
    """

    run: int
    attempt: int
    phase: Phase
    due_ms: int
    lost: int
    by: str


@dataclass(frozen=True, slots=True)
class FinishedPart:
    """The outcome of a run. ``by`` is the writer's nonce; ``result`` is JSON."""

    run: int
    state: str
    at_ms: int
    by: str
    attempt: int
    result: bytes | None
    error: ErrorInfo | None


@dataclass(frozen=True, slots=True)
class About:
    """What of a task's envelope records are looked for by."""

    type: str
    channel: str | None
    user: str | None
    chat_id: str | None
    accepted_at_ms: int

    @classmethod
    def of(cls, envelope: Envelope) -> "About":
        """As the envelope says it; a chat's number as its digits, others absent if no text."""
        context = envelope.context
        return cls(
            type=envelope.type,
            channel=_text(context.get("channel")),
            user=_text(context.get("user")),
            chat_id=_text_or_digits(context.get("chatId")),
            accepted_at_ms=envelope.accepted_at_ms,
        )


@dataclass(frozen=True, slots=True)
class Finish:
    """A wish to record the outcome of a run."""

    key: TaskKey
    request_digest: str
    envelope: bytes
    finished: FinishedPart
    about: About
    attempt: AttemptRecord | None = None


@dataclass(frozen=True, slots=True)
class FinishResult:
    """Whether the write is in force, and which run and state are recorded now."""

    won: bool
    run: int
    state: str


@dataclass(frozen=True, slots=True)
class OpenWrite:
    """A wish to record how far an unfinished run got.

    With ``check`` the run's open part must still equal ``expected`` (compare-and-set, rule 4).
    """

    key: TaskKey
    request_digest: str
    part: OpenPart
    attempt: AttemptRecord | None = None
    check: bool = False
    expected: OpenPart | None = None

    @property
    def expects_one(self) -> bool:
        """Whether it applies only where an open part stands already."""
        return self.check and self.expected is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """What an ask brings: enough to decide, no payload."""

    request_digest: str
    finished_run: int
    finished_state: str
    finished_by: str
    open: OpenPart | None

    def is_finished(self, run: int) -> bool:
        """Rule 2: a copy or entry of ``run`` is finished if this run or a later one is."""
        return self.finished_run >= run

    def open_of(self, run: int) -> OpenPart | None:
        """The open part, if it is of this very run."""
        return self.open if self.open is not None and self.open.run == run else None


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """Everything known of a task; ``envelope`` and ``about`` are those of the finished run."""

    key: TaskKey
    request_digest: str
    envelope: bytes | None
    finished: FinishedPart | None
    open: OpenPart | None
    attempts: tuple[AttemptRecord, ...]
    about: About | None = None
    redriven: bool = False
    """The next run is open, so ``finished`` waits for nobody any more."""


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Which finished records a search wants; members that are None want nothing special.

    No ``states``: every finished one. ``error`` is an ``ErrorInfo.type``; ``since_ms`` (inclusive)
    and ``until_ms`` (exclusive) are about ``finished.at_ms``; ``cursor`` is the last page's.
    """

    tenant: str
    queue: str | None = None
    states: frozenset[str] = frozenset()
    type: str | None = None
    error: str | None = None
    channel: str | None = None
    user: str | None = None
    chat_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    cursor: str | None = None
    limit: int = 50

    @property
    def wanted_states(self) -> list[str]:
        """The states, sorted."""
        return sorted(self.states or FINISHED)

    @property
    def is_filtered(self) -> bool:
        """Whether anything is wanted but states and times, which the indexes have."""
        wanted = (self.type, self.error, self.channel, self.user, self.chat_id)
        return any(each is not None for each in wanted)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; ``cursor`` leads to the next one, None where this is the last.

    It may be short, or empty, before the last: a search looks at so many records and no more.
    """

    items: list[LedgerRecord]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """A queue that exists."""

    tenant: str
    queue: str
    paused: bool


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease after a renewal: still held? Does somebody want it?"""

    held: bool
    wanted_by: str | None


@dataclass(frozen=True, slots=True)
class RehydrationRecord:
    """A rehydrate run; state is requested, running, complete, partial or failed.

    ``problems`` are the sentences that tell why it is partial or failed. ``since_ms`` (Unix ms),
    ``task_ids`` and ``rate`` (restores per second) are what was asked for. ``updated_at_ms``: when
    its process last wrote it.
    """

    id: str
    state: str
    started_at_ms: int
    finished_at_ms: int | None = None
    dry_run: bool = False
    queue: str | None = None
    tenant: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    since_ms: int | None = None
    task_ids: list[str] = field(default_factory=list)
    rate: float | None = None
    problems: list[str] = field(default_factory=list)
    updated_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StreamMark:
    """How far a stream got: its last id, and how many entries it was ever given."""

    last_id: str
    added: int


@dataclass(frozen=True, slots=True)
class Marks:
    """How far one queue's history in Redis got when it was last looked at.

    ``token`` is the generation, ``watermark`` the last confirmed journal id, ``streams`` those that
    were there, by the last part of their keys. ``loss`` is the kind of a loss that is not healed
    yet, ``lost`` what it took.
    """

    tenant: str
    queue: str
    token: str
    watermark: str | None
    streams: Mapping[str, StreamMark]
    at_ms: int
    loss: str | None = None
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """What an operator did, to how many tasks.

    ``target`` says which, as asked for: ids, a filter, or all; it is JSON.
    """

    id: str
    at_ms: int
    who: str
    action: str
    queue: str
    tenant: str
    target: Mapping[str, Any]
    count: int


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """A copy nobody may act on before a person looked at it.

    ``resolution`` is what that person did with it, None: nothing yet.
    """

    id: str
    reason: str
    queue: str
    tenant: str
    task_id: str
    headers: Mapping[str, str]
    body: bytes
    at_ms: int
    resolution: str | None = None
    resolved_by: str | None = None
    resolved_at_ms: int | None = None


def finish_wins(recorded_run: int, run: int) -> bool:
    """Rule 2: a finished write wins over none (0) or over a lower run; else the first stays."""
    return recorded_run < run


def open_applies(finished_run: int, current: OpenPart | None, write: OpenWrite) -> bool:
    """Rule 4: whether an open write may replace what stands there."""
    part = write.part
    if finished_run >= part.run:
        return False
    same_run = current if current is not None and current.run == part.run else None
    if current is not None and current.run > part.run:
        return False
    if write.check:
        return same_run == write.expected
    return same_run is None or part.attempt >= same_run.attempt


def finish_verdict(standing: Standing | None, write: Finish) -> FinishResult | None:
    """What became of a finished write that did not apply; None: it would apply now, try again."""
    run = write.finished.run
    if standing is None or finish_wins(standing.finished_run, run):
        return None
    own = standing.finished_run == run and standing.finished_by == write.finished.by
    return FinishResult(own, standing.finished_run, standing.finished_state)


def open_verdict(standing: Standing | None, write: OpenWrite) -> bool | None:
    """Whether an open write that did not apply is in force; None: it would apply now, try again."""
    finished_run = standing.finished_run if standing else 0
    current = standing.open if standing else None
    if current == write.part:
        return True
    return None if open_applies(finished_run, current, write) else False


def attempt_document(attempt: AttemptRecord) -> dict[str, Any]:
    """An attempt as both stores keep it."""
    # One is written per task: ``asdict`` would copy it member by member, ten times as slow.
    return {
        "run": attempt.run,
        "attempt": attempt.attempt,
        "worker": attempt.worker,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "outcome": attempt.outcome,
        "error": error_document(attempt.error),
    }


def error_document(error: ErrorInfo | None) -> dict[str, Any] | None:
    """An error as both stores keep it; what UTF-8 cannot say (a handler's text) becomes ``?``."""
    if error is None:
        return None
    return {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in asdict(error).items()
    }


def attempt_from(document: Mapping[str, Any]) -> AttemptRecord:
    """The reverse of ``attempt_document``."""
    error = document["error"]
    return AttemptRecord(**{**document, "error": ErrorInfo(**error) if error else None})


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _text_or_digits(value: object) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else _text(value)
