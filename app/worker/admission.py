"""From a fetched entry to a running attempt: ask, start, record, run (rules 4, 5, 7, 8, 10).

Entries that must be asked about wait for the ledger beside those that need not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Mapping, Sequence
from itertools import count
from typing import Final

from app.broker.delivery import Entry, Started
from app.clock import monotonic_ms, now_ms
from app.crashing import CrashPoints
from app.envelope import decode
from app.errors import EnvelopeError, StaleGeneration
from app.ledger.ledger import Ledger
from app.ledger.records import ErrorInfo, Standing
from app.names import TaskKey
from app.registry import TaskRegistry
from app.retry import RetryPolicy
from app.state import TaskState
from app.worker.claim import Claim, Phase, QueueWork, any_wanted
from app.worker.counting import Counting
from app.worker.executor import Executor
from app.worker.giving_back import give_back
from app.worker.heartbeat import Heartbeat
from app.worker.insist import Unwanted, insist
from app.worker.outcome import Done, Leftover
from app.worker.presence import Neighbours
from app.worker.quarantine import Finding, set_aside
from app.worker.settler import Settler
from app.worker.spooling import Spooling
from app.worker.unknown import UnknownTypes
from app.worker.verdict import (
    Verdict,
    is_suspect,
    judge,
    losses,
    lost_attempt,
    needs_ask,
    nonce_of,
    open_part,
    was_lost_with_redis,
)

log = logging.getLogger(__name__)

EXHAUSTED: Final = ErrorInfo(
    "attempts_exhausted",
    "The last attempt that the policy allows was started and never ended: its worker was lost.",
    retryable=False,
)
POISON: Final = "poison"
RENEW_AGAIN_S: Final = 0.5


class Admission:
    """Decides about claims, in batches, and hands on those that may run."""

    def __init__(
        self,
        ledger: Ledger,
        registry: TaskRegistry,
        executor: Executor,
        settler: Settler,
        heartbeat: Heartbeat,
        counting: Counting,
        unknown: UnknownTypes,
        neighbours: Neighbours,
        spooling: Spooling,
        crashes: CrashPoints,
        consumer: str,
        *,
        poison_max: int,
    ) -> None:
        """``poison_max``: a task with which so many workers were lost is not run again."""
        self._ledger = ledger
        self._registry = registry
        self._executor = executor
        self._settler = settler
        self._heartbeat = heartbeat
        self._counting = counting
        self._unknown = unknown
        self._neighbours = neighbours
        self._spooling = spooling
        self._crashes = crashes
        self._consumer = consumer
        self._poison_max = poison_max
        self._under_way: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._numbers = count()

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
        self._crashes.reach("worker.after_fetch")
        task = asyncio.create_task(self._admit(work, token, claims))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def stop(self, within_s: float) -> None:
        """Decide about what was fetched if that is quick; the other claims stay as they are."""
        if self._under_way:
            # What is cut off in the middle may have an attempt counted without our knowing.
            await asyncio.wait(self._under_way, timeout=within_s)
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
        nonce = nonce_of(self._consumer, next(self._numbers))
        try:
            envelope = decode(entry.envelope)
        except EnvelopeError:
            return Claim(work, token, entry, None, held_until_ms, nonce)
        handler = self._registry.get(envelope.type)
        policy = (handler.retry if handler else RetryPolicy()).overridden(envelope.retry)
        return Claim(work, token, entry, envelope, held_until_ms, nonce, handler, policy)

    async def _admit(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        unreadable = [claim for claim in claims if not claim.is_readable]
        unknown = [claim for claim in claims if claim.is_readable and claim.handler is None]
        readable = [claim for claim in claims if claim.is_readable and claim.handler is not None]
        asked = [claim for claim in readable if needs_ask(claim.entry, token)]
        plain = [claim for claim in readable if not needs_ask(claim.entry, token)]
        steps = [
            step(work, token, group)
            for step, group in (
                (self._start, plain),
                (self._ask, asked),
                (self._reject, unreadable),
                (self._turn_away, unknown),
            )
            if group
        ]
        await asyncio.gather(*(_guarded(step, work, token) for step in steps))

    async def _reject(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        await set_aside(self._ledger, self._consumer, claims, Finding.NOT_AN_ENVELOPE)

    async def _turn_away(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        await self._note_lost_attempts(work, token, claims)
        await self._record_losses([claim for claim in claims if claim.lost_attempt is not None])
        await self._unknown.turn_away(work, token, claims)

    async def _record_losses(self, claims: Sequence[Claim]) -> None:
        """What the next claim could not tell any more: giving back wipes the traces in Redis."""
        if not claims:
            return
        keys = [claim.task_key for claim in claims]
        standings = await insist(lambda: self._ledger.ask(keys), any_wanted(claims))
        writes = []
        for claim in claims:
            claim.standing = standings.get(claim.task_key)
            self._count_losses(claim, {self._consumer})
            if claim.lost_attempt is not None:
                writes.append(claim.lost_write(claim.lost_attempt))
        if writes:
            await insist(lambda: self._ledger.record_open(writes), any_wanted(claims))
        for claim in claims:
            claim.lost_attempt = None

    async def _ask(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        await self._note_lost_attempts(work, token, claims)
        keys = [claim.task_key for claim in claims]
        standings = await insist(lambda: self._spooling.ask(keys), any_wanted(claims))
        living = await self._living(claims, standings)
        conflicts, runnable = [], []
        for claim in claims:
            claim.asked = True
            claim.standing = standings.get(claim.task_key)
            match judge(claim.envelope, claim.standing):
                case Verdict.RUN:
                    # One that Redis saw go silent is taken for lost, listed or not.
                    spared = living if claim.lost_attempt is None else {self._consumer}
                    self._count_losses(claim, spared)
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

    async def _living(
        self, claims: Sequence[Claim], standings: Mapping[TaskKey, Standing]
    ) -> Collection[str]:
        """The workers that live on, where an attempt may have been lost with Redis alone."""
        if any(was_lost_with_redis(each.envelope, standings.get(each.task_key)) for each in claims):
            return await self._neighbours.living()
        return {self._consumer}

    def _count_losses(self, claim: Claim, living: Collection[str]) -> None:
        envelope = claim.envelope
        claim.losses, claim.lost_attempt = losses(
            open_part(envelope, claim.standing),
            claim.lost_attempt,
            envelope.run,
            living,
            now_ms(),
        )
        claim.is_poison = claim.losses >= self._poison_max

    async def _start(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        claims = [claim for claim in claims if not claim.lost]
        if not claims:
            return
        wishes = [claim.wish() for claim in claims]
        verdicts = await insist(
            lambda: work.delivery.start(token, self._consumer, wishes), any_wanted(claims)
        )
        self._crashes.reach("worker.after_start")
        doubtful, suspects, returned, ready = [], [], [], []
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
                ready.append(claim)
        await self._run(ready)
        if doubtful:
            await self._ask(work, token, doubtful)
        if suspects:
            await self._record_and_run(work, token, suspects)
        if returned:
            await give_back(self._consumer, returned)

    def _end_unrun(self, claim: Claim, started: Started) -> None:
        match started.verdict:
            case "cancel":
                self._settler.put(claim, Done(TaskState.CANCELLED))
            case "expired":
                self._settler.put(claim, Done(TaskState.EXPIRED))
            case "exhausted":
                error = _poison(claim.losses) if claim.is_poison else EXHAUSTED
                self._settler.put(claim, Done(TaskState.DEAD, error=error))
            case _:
                # Gone to another worker, or delayed again: nothing of it is here any more.
                claim.enter(Phase.OVER)

    async def _record_and_run(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        """Rule 4: the attempt is in the ledger before it runs, or it does not run here."""
        writes = []
        for claim in claims:
            # When it began stands where a failed one has its due time.
            due_ms = claim.started_at_ms
            write = claim.open_write(
                "started", due_ms=due_ms, attempt=claim.lost_attempt, check=True
            )
            claim.recorded = write.part
            writes.append(write)
        self._crashes.reach("worker.before_record")
        in_force = await insist(lambda: self._ledger.record_open(writes), any_wanted(claims))
        self._crashes.reach("worker.after_record")
        beaten, ready = [], []
        for claim, won in zip(claims, in_force, strict=True):
            if won:
                claim.lost_attempt = None
                ready.append(claim)
            else:
                claim.recorded = None
                beaten.append(claim)
        await self._run(ready)
        if beaten:
            await give_back(self._consumer, beaten)

    async def _run(self, claims: Sequence[Claim]) -> None:
        """Run what is held; what came here later than its lease lasts only if Redis says so still.

        This process may have stood still, or the answer that began it: by now it may have run
        elsewhere and be recorded.
        """
        held, late = _by_lease(claims)
        self._launch(held)
        while late:
            await self._heartbeat.renew(late)
            held, late = _by_lease(late)
            self._launch(held)
            if late:
                await asyncio.sleep(RENEW_AGAIN_S)

    def _launch(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if claim.handler is not None:
                self._counting.started(claim)
                self._executor.launch(claim, claim.handler)


def _by_lease(claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Those whose lease is surely held, and those of which it is not known; none that is lost."""
    now, alive = monotonic_ms(), [claim for claim in claims if not claim.lost]
    held = [claim for claim in alive if claim.held_until_ms > now]
    return held, [claim for claim in alive if claim.held_until_ms <= now]


def _poison(losses: int) -> ErrorInfo:
    text = (
        f"{losses} workers were lost while they ran this task. It is not run again before somebody"
        " has looked at it."
    )
    return ErrorInfo(POISON, text, retryable=False)


async def _guarded(step: Awaitable[None], work: QueueWork, token: str) -> None:
    try:
        await step
    except StaleGeneration:
        work.forget(token)
    except Unwanted:
        return
