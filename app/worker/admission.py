"""From a fetched entry to a running attempt: ask, start, record, run (rules 4, 5, 7, 8, 10).

Entries that must be asked about wait for the ledger beside those that need not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from itertools import count
from typing import Final

from app.broker.delivery import Entry, Started
from app.clock import now_ms
from app.envelope import decode
from app.errors import EnvelopeError, StaleGeneration
from app.ledger.ledger import Ledger
from app.ledger.records import ErrorInfo
from app.names import new_token
from app.registry import TaskRegistry
from app.retry import RetryPolicy
from app.state import TaskState
from app.worker.claim import Claim, Phase, QueueWork, any_wanted
from app.worker.counting import Counting
from app.worker.executor import Executor
from app.worker.giving_back import give_back
from app.worker.insist import Unwanted, insist
from app.worker.outcome import Done, Leftover
from app.worker.quarantine import Finding, set_aside
from app.worker.settler import Settler
from app.worker.verdict import Verdict, is_suspect, judge, lost_attempt, needs_ask

log = logging.getLogger(__name__)

EXHAUSTED: Final = ErrorInfo(
    "attempts_exhausted",
    "The last attempt that the policy allows was started and never ended: its worker was lost.",
    retryable=False,
)


class Admission:
    """Decides about claims, in batches, and hands on those that may run."""

    def __init__(
        self,
        ledger: Ledger,
        registry: TaskRegistry,
        executor: Executor,
        settler: Settler,
        counting: Counting,
        consumer: str,
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._executor = executor
        self._settler = settler
        self._counting = counting
        self._consumer = consumer
        self._under_way: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        # Nobody else's, whoever asks: a random part once, then a number.
        self._nonce, self._numbers = new_token(), count()

    def take_in(
        self, work: QueueWork, token: str, entries: Sequence[Entry], held_until_ms: int
    ) -> None:
        """Claim fetched entries and decide about them in the background.

        ``held_until_ms``: until when their leases are surely held (monotonic).
        """
        claims = [self._claim(work, token, entry, held_until_ms) for entry in entries]
        for claim in claims:
            work.claims[claim.key] = claim
            work.slots.take()
        task = asyncio.create_task(self._admit(work, token, claims))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Decide no more; claims not decided about stay as they are."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def run(self) -> None:
        """Fail as soon as deciding failed by surprise: only a restart frees such claims."""
        raise await self._failure

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failure.done():
            self._failure.set_result(error)

    def _claim(self, work: QueueWork, token: str, entry: Entry, held_until_ms: int) -> Claim:
        nonce = f"{self._nonce}-{next(self._numbers)}"
        try:
            envelope = decode(entry.envelope)
        except EnvelopeError:
            return Claim(work, token, entry, None, held_until_ms, nonce)
        handler = self._registry.get(envelope.type)
        policy = (handler.retry if handler else RetryPolicy()).overridden(envelope.retry)
        return Claim(work, token, entry, envelope, held_until_ms, nonce, handler, policy)

    async def _admit(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        unreadable = [claim for claim in claims if not claim.is_readable]
        readable = [claim for claim in claims if claim.is_readable]
        asked = [claim for claim in readable if needs_ask(claim.entry, token)]
        plain = [claim for claim in readable if not needs_ask(claim.entry, token)]
        steps = [
            step(work, token, group)
            for step, group in (
                (self._start, plain),
                (self._ask, asked),
                (self._reject, unreadable),
            )
            if group
        ]
        await asyncio.gather(*(_guarded(step, work, token) for step in steps))

    async def _reject(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        await set_aside(self._ledger, self._consumer, claims, Finding.NOT_AN_ENVELOPE)

    async def _ask(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        await self._note_lost_attempts(work, token, claims)
        keys = [claim.task_key for claim in claims]
        standings = await insist(lambda: self._ledger.ask(keys), any_wanted(claims))
        conflicts, runnable = [], []
        for claim in claims:
            claim.asked = True
            claim.standing = standings.get(claim.task_key)
            match judge(claim.envelope, claim.standing):
                case Verdict.RUN:
                    runnable.append(claim)
                case Verdict.CONFLICT:
                    conflicts.append(claim)
                case Verdict.FINISHED:
                    assert claim.standing is not None  # noqa: S101 - for the type checker
                    state = TaskState(claim.standing.finished_state)
                    self._settler.put(claim, Leftover(claim.standing.finished_run, state))
        if runnable:
            await self._start(work, token, runnable)
        if conflicts:
            await set_aside(self._ledger, self._consumer, conflicts, Finding.ID_CONFLICT)

    async def _note_lost_attempts(
        self, work: QueueWork, token: str, claims: Sequence[Claim]
    ) -> None:
        """What Redis still says of attempts whose worker went silent, before it is written over."""
        reclaimed = [claim for claim in claims if claim.entry.reclaimed]
        if not reclaimed:
            return
        ids = [claim.entry.task_id for claim in reclaimed]
        sightings = await insist(lambda: work.intake.look(token, ids), any_wanted(reclaimed))
        for claim, sighting in zip(reclaimed, sightings, strict=True):
            if sighting is not None:
                claim.lost_attempt = lost_attempt(
                    sighting.fields, claim.entry, claim.nonce, now_ms()
                )

    async def _start(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        claims = self._suspend_unknown(claims)
        claims = [claim for claim in claims if not claim.lost]
        if not claims:
            return
        wishes = [claim.wish() for claim in claims]
        verdicts = await insist(
            lambda: work.delivery.start(token, self._consumer, wishes), any_wanted(claims)
        )
        doubtful, suspects, returned = [], [], []
        for claim, started in zip(claims, verdicts, strict=True):
            claim.attempt, claim.started_at_ms = started.attempt, started.now_ms
            claim.started = started.verdict == "run"
            if started.verdict == "ask":
                doubtful.append(claim)
            elif started.verdict == "paused":
                returned.append(claim)
            elif not claim.started:
                self._end_unrun(claim, started)
            elif is_suspect(claim.entry, token, marked=started.suspect):
                suspects.append(claim)
            else:
                self._run(claim)
        if doubtful:
            await self._ask(work, token, doubtful)
        if suspects:
            await self._record_and_run(work, token, suspects)
        if returned:
            await give_back(self._consumer, returned)

    def _suspend_unknown(self, claims: Sequence[Claim]) -> list[Claim]:
        for claim in claims:
            if claim.handler is None:
                # Giving it back would bring it here again at once, for ever.
                text = f"No handler is registered for the type {claim.envelope.type}."
                error = ErrorInfo("unknown_type", text, retryable=False)
                self._settler.put(claim, Done(TaskState.SUSPENDED, error=error))
        return [claim for claim in claims if claim.handler is not None]

    def _end_unrun(self, claim: Claim, started: Started) -> None:
        match started.verdict:
            case "cancel":
                self._settler.put(claim, Done(TaskState.CANCELLED))
            case "expired":
                self._settler.put(claim, Done(TaskState.EXPIRED))
            case "exhausted":
                self._settler.put(claim, Done(TaskState.DEAD, error=EXHAUSTED))
            case _:
                # Gone to another worker, or delayed again: nothing of it is here any more.
                claim.enter(Phase.OVER)

    async def _record_and_run(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        """Rule 4: the attempt is in the ledger before it runs, or it does not run here."""
        writes = [
            claim.open_write("started", attempt=claim.lost_attempt, check=True) for claim in claims
        ]
        in_force = await insist(lambda: self._ledger.record_open(writes), any_wanted(claims))
        beaten = []
        for claim, won in zip(claims, in_force, strict=True):
            if won:
                self._run(claim)
            else:
                beaten.append(claim)
        if beaten:
            await give_back(self._consumer, beaten)

    def _run(self, claim: Claim) -> None:
        if claim.lost or claim.handler is None:
            return
        self._counting.started(claim)
        self._executor.launch(claim, claim.handler)


async def _guarded(step: Awaitable[None], work: QueueWork, token: str) -> None:
    try:
        await step
    except StaleGeneration:
        work.forget(token)
    except Unwanted:
        return
