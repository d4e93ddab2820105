"""One attempt: a handler called within its time, and what became of it.

The executor runs attempts of claimed tasks with it, ``app.testing`` those of tests.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError

from app.registry import Handler, Stopped, TaskContext
from app.worker.outcome import AttemptOutcome, Failed, Limits, Suspended

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a call in a thread."""


async def outcome_of(
    handler: Handler,
    payload: Mapping[str, Any],
    context: TaskContext,
    timeout_ms: int,
    limits: Limits,
    in_thread: InThread,
) -> AttemptOutcome:
    """What became of the attempt; sets ``context.stop`` at its end.

    Raises:
        asyncio.CancelledError, Stopped: somebody gave the attempt up, or it seems so.
    """
    try:
        given = handler.payload.model_validate(payload)
    except ValidationError as error:
        return limits.invalid_payload(error)
    scope = asyncio.timeout(timeout_ms / 1000)
    try:
        async with scope:
            arguments = handler.arguments(given, context)
            if handler.is_async:
                value = await handler.function(*arguments)
            else:
                surroundings = contextvars.copy_context()
                value = await in_thread(lambda: surroundings.run(handler.function, *arguments))
    except (Exception, SystemExit) as error:
        # Whatever a handler raises is its failure, never the worker's.
        if context.stop.is_set:
            raise Stopped(str(error)) from error
        if scope.expired() and isinstance(error, TimeoutError):
            return limits.timeout(timeout_ms)
        return limits.raised(error)
    finally:
        context.stop.set()
    return limits.succeeded(value)


def cancelled_from_within(error: BaseException, limits: Limits) -> Failed | Suspended:
    """A cancellation nobody asked for: a library turned a broken connection into one."""
    return limits.raised(RuntimeError(f"The handler was cancelled from within: {error}"))
