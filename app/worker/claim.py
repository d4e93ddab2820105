"""What this worker holds: queues, and a claim on each entry it fetched.

A claim is valid for the generation it was made under; once its lease is lost nothing may be written
on its behalf any more (rules 1 and 8).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from app.broker.connection import RedisConnection
from app.broker.delivery import Delivery, Entry, Start
from app.broker.intake import Intake
from app.clock import monotonic_ms
from app.envelope import Envelope
from app.errors import EnvelopeError
from app.ledger.ledger import Ledger
from app.ledger.records import AttemptRecord, ErrorInfo, OpenPart, OpenWrite, Outcome, Standing
from app.ledger.records import Phase as OpenPhase
from app.names import QueueName, TaskKey
from app.registry import Handler, StopFlag
from app.retry import RetryPolicy
from app.sessions import QueueSession
from app.settings import Settings
from app.worker.slots import Slots
from app.worker.verdict import open_part

ClaimKey = tuple[str, int, str]


class Phase(Enum):
    """Where a claim is on its way."""

    ADMITTING = auto()
    RUNNING = auto()
    SETTLING = auto()
    """Its outcome is on the way to the ledger."""
    SPOOLED = auto()
    """Its outcome is on this machine's disk, for the ledger is away; it holds no slot."""
    CLOSING = auto()
    """The ledger has it; Redis is being told."""
    OVER = auto()

    @property
    def holds_slot(self) -> bool:
        """Whether a claim counts among those a worker holds."""
        return self not in (Phase.SPOOLED, Phase.OVER)


class StopReason(Enum):
    """Why a running handler is cancelled."""

    LOST = auto()
    CANCEL = auto()
    GIVE_BACK = auto()


@dataclass(slots=True, eq=False)
class Claim:
    """One fetched entry, until it is settled, given back or lost."""

    work: "QueueWork"
    token: str
    entry: Entry
    decoded: Envelope | None
    held_until_ms: int
    """Monotonic; past it somebody else may hold the lease."""
    nonce: str
    handler: Handler | None = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    asked: bool = False
    standing: Standing | None = None
    attempt: int = 0
    started: bool = False
    """``start.lua`` has counted this claim's attempt."""
    started_at_ms: int = 0
    """Redis's clock."""
    began_ms: int = 0
    """Monotonic."""
    ended_ms: int = 0
    lost_attempt: AttemptRecord | None = None
    """The latest of this run that ended with its worker lost, as long as it is not recorded."""
    losses: int = 0
    """How many attempts of this run ended so."""
    is_poison: bool = False
    """Too many did: it must not run again."""
    recorded: OpenPart | None = None
    """What this claim wrote, or began to write, into the ledger of its start."""
    phase: Phase = Phase.ADMITTING
    lost: bool = False
    stop_flag: StopFlag = field(default_factory=StopFlag)
    stop_reason: StopReason | None = None
    running: asyncio.Task[None] | None = None

    @property
    def is_readable(self) -> bool:
        """Whether the entry holds an envelope."""
        return self.decoded is not None

    @property
    def envelope(self) -> Envelope:
        """The envelope of a readable claim."""
        if self.decoded is None:
            raise EnvelopeError(f"The entry of {self.task_key.full} holds no envelope.")
        return self.decoded

    @property
    def key(self) -> ClaimKey:
        """Entry ids repeat in other generations and lanes."""
        return (self.token, self.entry.lane, self.entry.entry_id)

    @property
    def task_key(self) -> TaskKey:
        """The full name in all stores: the queue's, never what an envelope pretends."""
        return self.work.name.task(self.entry.task_id)

    def wish(self) -> Start:
        """To start, with what is known of it so far."""
        part = open_part(self.envelope, self.standing)
        return Start(
            entry=self.entry,
            nonce=self.nonce,
            asked=self.asked,
            ledger_attempt=part.attempt if part else 0,
            ledger_due_ms=part.due_ms if part and part.phase == "failed" else 0,
            # A poisonous one has no attempts left, whatever its policy says.
            attempts_max=0 if self.is_poison else self.policy.max_attempts,
            expires_at_ms=self.envelope.expires_at_ms,
            request_digest=self.envelope.request_digest,
        )

    def attempt_record(
        self, worker: str, outcome: Outcome, error: ErrorInfo | None
    ) -> AttemptRecord:
        """The attempt this claim ran, for the history."""
        return AttemptRecord(
            run=self.envelope.run,
            attempt=self.attempt,
            worker=worker,
            started_at=self.started_at_ms,
            finished_at=self.started_at_ms + (self.ended_ms or monotonic_ms()) - self.began_ms,
            outcome=outcome,
            error=error,
        )

    def open_write(
        self,
        phase: OpenPhase,
        *,
        due_ms: int = 0,
        attempt: AttemptRecord | None,
        check: bool = False,
    ) -> OpenWrite:
        """That this claim's attempt started or failed (rule 4).

        ``check``: only if nobody wrote since the ask.
        """
        return OpenWrite(
            key=self.task_key,
            request_digest=self.envelope.request_digest,
            part=OpenPart(
                run=self.envelope.run,
                attempt=self.attempt,
                phase=phase,
                due_ms=due_ms,
                lost=self.losses,
                by=self.nonce,
            ),
            attempt=attempt,
            check=check,
            expected=open_part(self.envelope, self.standing) if check else None,
        )

    def lost_write(self, lost: AttemptRecord) -> OpenWrite:
        """That an attempt ended with its worker lost, for a claim that starts none of its own."""
        part = OpenPart(
            run=self.envelope.run,
            attempt=lost.attempt,
            phase="failed",
            due_ms=0,
            lost=self.losses,
            by=self.nonce,
        )
        return self._write(part, lost)

    def given_back_write(self, worker: str) -> OpenWrite | None:
        """That this claim's attempt was given back and used none up; None: nothing to write."""
        ran = self.began_ms > 0
        if not self.started or not (ran or self.recorded):
            return None
        part = OpenPart(
            run=self.envelope.run,
            attempt=self.attempt - 1,
            phase="failed",
            due_ms=0,
            lost=self.losses,
            by=f"{self.nonce}-back",
        )
        return self._write(part, self.attempt_record(worker, "given_back", None) if ran else None)

    def _write(self, part: OpenPart, attempt: AttemptRecord | None) -> OpenWrite:
        """In force only if nobody wrote since this claim did, or since it asked."""
        return OpenWrite(
            key=self.task_key,
            request_digest=self.envelope.request_digest,
            part=part,
            attempt=attempt,
            check=True,
            expected=self.recorded or open_part(self.envelope, self.standing),
        )

    def stop(self, reason: StopReason) -> None:
        """Have the handler end, once; what ends anyway is left alone.

        One in a thread is only told when its worker stops: it may still end in time.
        """
        if self.stop_reason is None and self.phase is Phase.RUNNING and self.running is not None:
            self.stop_reason = reason
            self.stop_flag.set()
            is_in_thread = self.handler is not None and not self.handler.is_async
            if not (is_in_thread and reason is StopReason.GIVE_BACK):
                self.running.cancel()

    def abandon(self) -> None:
        """Wait for the handler no more, if it was told to end."""
        if self.stop_reason is not None and self.running is not None:
            self.running.cancel()

    def enter(self, phase: Phase) -> None:
        """Go on; slots follow."""
        if self.phase is Phase.OVER or phase is self.phase:
            return
        was_active = self.phase in (Phase.ADMITTING, Phase.RUNNING)
        is_active = phase in (Phase.ADMITTING, Phase.RUNNING)
        was_held, self.phase = self.phase.holds_slot, phase
        if was_active and not is_active:
            self.work.slots.leave()
        if was_held and not phase.holds_slot:
            self.work.slots.free()
        elif phase.holds_slot and not was_held:
            self.work.slots.hold()
        if phase is Phase.OVER:
            self.work.claims.pop(self.key, None)

    def shed(self) -> None:
        """Keep no more than telling Redis of the end needs."""
        self.entry = replace(self.entry, envelope=b"")
        self.decoded = self.standing = None

    def lose(self) -> None:
        """Somebody else may run it now: stop, and write nothing of it."""
        if self.lost or self.phase is Phase.OVER:
            return
        self.lost = True
        self.work.claims.pop(self.key, None)
        if self.phase is Phase.RUNNING and self.running is not None:
            # Its slot is free only when the handler has really ended.
            self.stop(StopReason.LOST)
        else:
            self.enter(Phase.OVER)


class QueueWork:
    """One queue as this worker knows it."""

    def __init__(
        self,
        redis: RedisConnection,
        ledger: Ledger,
        settings: Settings,
        name: QueueName,
        slots: Slots,
    ) -> None:
        self.name = name
        self.slots = slots
        self.session = QueueSession(redis, ledger, settings.env, name, adopt=settings.adopt_ledger)
        keys = self.session.keys
        self.delivery = Delivery(redis, keys, dedup_ms=settings.dedup_ms)
        self.intake = Intake(
            redis, keys, queue_max=settings.queue_max, unmirrored_max=settings.unmirrored_max
        )
        self.claims: dict[ClaimKey, Claim] = {}
        self.cursors: dict[str, str] = {}
        """Streams' last ids as of the last fetch: what to wait behind."""
        self.reread = True
        """A reply may have been lost: entries pending for this consumer may be unknown to it."""
        self._token = ""

    async def learn(self) -> str:
        """The token of the generation in force.

        Raises:
            LedgerMismatch: Redis remembers another ledger.
            Unavailable: Redis is away.
        """
        self._token = await self.session.token()
        return self._token

    def forget(self, token: str) -> None:
        """What was learnt under ``token`` holds no more (rule 1)."""
        if token == self._token:
            self.session.forget()
            self.cursors = {}
            self.reread = True
        for claim in [each for each in self.claims.values() if each.token == token]:
            claim.lose()

    def knows(self, token: str, entry: Entry) -> bool:
        """Whether this worker holds a claim on an entry."""
        return (token, entry.lane, entry.entry_id) in self.claims


def by_generation(claims: Iterable[Claim]) -> dict[tuple[QueueWork, str], list[Claim]]:
    """Claims in groups that one call to Redis may serve."""
    groups: dict[tuple[QueueWork, str], list[Claim]] = {}
    for claim in claims:
        groups.setdefault((claim.work, claim.token), []).append(claim)
    return groups


def lease_deadline_ms(lease_ms: int) -> int:
    """Until when a claim made or renewed by a call that starts now is surely held (monotonic)."""
    return monotonic_ms() + lease_ms


def any_wanted(claims: Sequence[Claim]) -> Callable[[], bool]:
    """Whether anything about these claims is still worth finding out."""
    return lambda: any(not claim.lost for claim in claims)
