"""``TestRun``: a task's whole life in one call, in virtual time.

The submit is judged as the API judges it, each outcome is decided as the worker decides it, and
each move is one of the state machine's. Only the clock is not real: delays take no time.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, Unpack

import orjson

from app.client.new_task import NewTask, Payload, SubmitOptions
from app.envelope import DEFAULT_TIMEOUT_MS, Envelope
from app.lifecycle import asked_to_stop
from app.registry import Handler, RegistryError, Stopped, TaskContext, TaskRegistry
from app.settings import Settings
from app.state import TaskState, can_move
from app.task_queue.request import Origin, Rules, read_request
from app.testing.ended import Ended, EndedAttempt, Progress
from app.worker.attempt import cancelled_from_within, outcome_of
from app.worker.outcome import Done, Limits, decide

BEGINNING_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when every run of a test begins."""
OF_THE_LIFESPAN: Final = object()
"""No state is given: None may be one."""


class TestRun:
    """Runs tasks of a registry.

    Args:
        registry: the handlers.
        spread: what jitter makes of each delay, -1 (shortest) to 1 (longest); 0: the plain delay.
        state: what handlers get for their registry's lifespan; left out: the lifespan is entered
            for each run.
        settings: limits and defaults; None: those without any variable set.
    """

    __test__ = False
    """Not a test itself, whatever pytest makes of the name."""

    def __init__(
        self,
        registry: TaskRegistry,
        *,
        spread: float = 0,
        state: Any = OF_THE_LIFESPAN,
        settings: Settings | None = None,
    ) -> None:
        self._registry = registry
        self._state = state
        self._spread = spread
        chosen = settings or Settings.model_construct()
        self._limits = Limits(chosen.limit_result, chosen.limit_error)
        self._rules = Rules(
            tenant=chosen.tenant,
            durability="fast",
            on_degraded="accept",
            envelope_bytes_max=chosen.limit_envelope,
            context_chars_max=chosen.limit_context,
            payloads={},
        )

    async def run(self, type: str, payload: Payload, **options: Unpack[SubmitOptions]) -> Ended:
        """Submit a task and run it until it is over.

        ``options``: as ``Client.submit`` takes them. A timeout is real time: give a short one.

        Raises:
            InvalidTask: the API would refuse the submit.
            RegistryError: no handler is registered for ``type``.
        """
        handler = self._registry.get(type)
        if handler is None:
            known = ", ".join(self._registry.types) or "none"
            raise RegistryError(
                f"No handler is registered for the type {type!r}; known are {known}. A worker would"
                " suspend such a task."
            )
        body = NewTask(type, payload, **options).body()
        prepared = read_request(body, self._rules, Origin("python"), BEGINNING_MS)
        async with self._state_for(handler) as state:
            life = _Life(prepared.envelope, handler, self._limits, self._spread, state)
            await life.live()
        return life.ended()

    def _state_for(self, handler: Handler) -> AbstractAsyncContextManager[Any]:
        if self._state is OF_THE_LIFESPAN and handler.lifespan is not None:
            return handler.lifespan()
        return nullcontext(None if self._state is OF_THE_LIFESPAN else self._state)


class _Life:
    """One task from its submit to the end of its run."""

    def __init__(
        self, envelope: Envelope, handler: Handler, limits: Limits, spread: float, state: Any
    ) -> None:
        self._envelope = envelope
        self._handler = handler
        self._limits = limits
        self._spread = spread
        self._given = state
        self._progress: list[Progress] = []
        self._policy = handler.retry.overridden(envelope.retry)
        self._now_ms = max(envelope.accepted_at_ms, envelope.not_before_ms)
        later = self._now_ms > envelope.accepted_at_ms
        self._state = TaskState.SCHEDULED if later else TaskState.QUEUED
        self._attempts: list[EndedAttempt] = []
        self._last: Done | None = None

    async def live(self) -> None:
        while self._last is None:
            if self._state is not TaskState.QUEUED:
                self._move(TaskState.QUEUED)
            if 0 < self._envelope.expires_at_ms <= self._now_ms:
                self._end(Done(TaskState.EXPIRED))
            else:
                self._move(TaskState.RUNNING)
                await self._attempt(len(self._attempts) + 1)

    def ended(self) -> Ended:
        assert self._last is not None  # noqa: S101 - for the type checker
        result = self._last.result
        return Ended(
            state=self._state,
            result=None if result is None else orjson.loads(result),
            error=self._last.error,
            attempts=tuple(self._attempts),
            elapsed_ms=self._now_ms - self._envelope.accepted_at_ms,
            progress=tuple(self._progress),
        )

    async def _attempt(self, number: int) -> None:
        envelope = self._envelope
        timeout_ms = envelope.timeout_ms or self._handler.timeout_ms or DEFAULT_TIMEOUT_MS
        context = TaskContext(
            key=envelope.key,
            run=envelope.run,
            attempt=number,
            deadline_ms=self._now_ms + timeout_ms,
            context=envelope.context,
            state=self._given,
            report=lambda fraction, text: self._progress.append((fraction, text)),
        )
        # As a worker reads it: what JSON cannot say has not arrived.
        payload = orjson.loads(envelope.raw)["payload"]
        try:
            outcome = await outcome_of(
                self._handler, payload, context, timeout_ms, self._limits, asyncio.to_thread
            )
        except (asyncio.CancelledError, Stopped) as error:
            if asked_to_stop():
                raise
            outcome = cancelled_from_within(error, self._limits)
        decision = decide(outcome, number, self._policy, self._now_ms, self._spread)
        if isinstance(decision, Done):
            assert decision.outcome is not None  # noqa: S101 - for the type checker
            self._attempts.append(EndedAttempt(number, decision.outcome, decision.error, None))
            self._end(decision)
            return
        delay_ms = decision.due_ms - self._now_ms
        self._attempts.append(EndedAttempt(number, decision.outcome, decision.error, delay_ms))
        self._move(TaskState.RETRYING)
        self._now_ms = decision.due_ms

    def _end(self, done: Done) -> None:
        self._move(done.state)
        self._last = done

    def _move(self, state: TaskState) -> None:
        assert can_move(self._state, state), f"{self._state} -> {state}"  # noqa: S101 - a bug of ours
        self._state = state
