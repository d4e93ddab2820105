"""Runs handlers: payload, context, timeout, cancellation. Says what became of each attempt."""

import asyncio
import logging
import random
from functools import partial

from app.clock import monotonic_ms, now_ms
from app.crashing import CrashPoints
from app.envelope import DEFAULT_TIMEOUT_MS
from app.lifecycle import cancel
from app.registry import Handler, Stopped, TaskContext
from app.worker.attempt import cancelled_from_within, outcome_of
from app.worker.claim import Claim, Phase, StopReason
from app.worker.counting import Counting
from app.worker.lifespans import States
from app.worker.outcome import AttemptOutcome, Cancelled, Limits, decide
from app.worker.progress import Progress
from app.worker.settler import Settler
from app.worker.threads import STUCK_PER_SLOT, Threads

log = logging.getLogger(__name__)


class Executor:
    """Runs started claims, each in an asyncio task of its own; ``def`` handlers in threads.

    A thread cannot be stopped, only told: a ``def`` handler that outlives its timeout keeps its
    thread until it returns, and what it returns is dropped.
    """

    def __init__(
        self,
        settler: Settler,
        counting: Counting,
        progress: Progress,
        limits: Limits,
        states: States,
        crashes: CrashPoints,
        *,
        concurrency: int,
    ) -> None:
        """``states``: what each lifespan of the registry yielded."""
        self._settler = settler
        self._counting = counting
        self._progress = progress
        self._limits = limits
        self._states = states
        self._crashes = crashes
        self._threads = Threads(STUCK_PER_SLOT * concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._hurried = asyncio.Event()

    def launch(self, claim: Claim, handler: Handler) -> None:
        """Run a claim whose attempt is counted."""
        if claim.lost:
            return
        claim.began_ms = monotonic_ms()
        claim.enter(Phase.RUNNING)
        task = asyncio.create_task(self._run(claim, handler))
        claim.running = task
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(claim, ended))

    async def finish(self, within_s: float) -> None:
        """Wait for what runs, at most so long, and no longer than until ``hurry``."""
        if not self._tasks:
            return
        hurried = asyncio.create_task(self._hurried.wait())
        ended = asyncio.create_task(asyncio.wait(self._tasks))
        await asyncio.wait((ended, hurried), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        await cancel(ended, hurried)

    def hurry(self) -> None:
        """Wait for nothing any more."""
        self._hurried.set()

    async def end(self, within_s: float) -> None:
        """Wait for what was told to end, also in a hurry."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)

    def close(self) -> None:
        """Take no more work in threads."""
        self._threads.close()

    async def _run(self, claim: Claim, handler: Handler) -> None:
        self._conclude(claim, await self._outcome(claim, handler))

    def _ended(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # Before its first step: nothing of it ran.
            self._conclude(claim, self._stopped(claim, asyncio.CancelledError()))
        elif (error := task.exception()) is not None:
            log.error("Running %s failed in the worker.", claim.task_key.full, exc_info=error)
            self._conclude(claim, self._limits.raised(error))

    def _conclude(self, claim: Claim, outcome: AttemptOutcome | None) -> None:
        claim.ended_ms = monotonic_ms()
        if claim.lost:
            claim.enter(Phase.OVER)
            return
        if outcome is None:
            # Stopped by us: whoever stopped it gives it back.
            return
        elapsed_ms = claim.ended_ms - claim.began_ms
        self._crashes.reach("worker.after_run")
        settlement = decide(
            outcome,
            claim.attempt,
            claim.policy,
            claim.started_at_ms + elapsed_ms,
            random.uniform(-1, 1),
        )
        if settlement.outcome is not None:
            self._counting.ran(claim, settlement.outcome, elapsed_ms)
        self._settler.put(claim, settlement)

    async def _outcome(self, claim: Claim, handler: Handler) -> AttemptOutcome | None:
        timeout_ms = claim.envelope.timeout_ms or handler.timeout_ms or DEFAULT_TIMEOUT_MS
        context = TaskContext(
            key=claim.task_key,
            run=claim.envelope.run,
            attempt=claim.attempt,
            deadline_ms=now_ms() + timeout_ms,
            context=claim.envelope.context,
            state=self._states.get(handler.lifespan) if handler.lifespan else None,
            stop=claim.stop_flag,
            report=partial(self._progress.note, claim),
        )
        payload, in_thread = claim.envelope.payload, self._threads.run
        try:
            return await outcome_of(handler, payload, context, timeout_ms, self._limits, in_thread)
        except (asyncio.CancelledError, Stopped) as error:
            return self._stopped(claim, error)

    def _stopped(self, claim: Claim, error: BaseException) -> AttemptOutcome | None:
        match claim.stop_reason:
            case StopReason.CANCEL:
                return Cancelled()
            case StopReason.LOST | StopReason.GIVE_BACK:
                return None
        return cancelled_from_within(error, self._limits)
