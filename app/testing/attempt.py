"""One attempt, called as the worker's executor calls it."""

import asyncio

from pydantic import ValidationError

from app.lifecycle import asked_to_stop
from app.registry import Handler, Stopped, TaskContext
from app.worker.outcome import AttemptOutcome, Limits


async def outcome_of(
    handler: Handler, context: TaskContext, payload: object, timeout_ms: int, limits: Limits
) -> AttemptOutcome:
    """What became of it; ``def`` handlers run in a thread."""
    try:
        given = handler.payload.model_validate(payload)
    except ValidationError as error:
        return limits.invalid_payload(error)
    scope = asyncio.timeout(timeout_ms / 1_000)
    try:
        async with scope:
            arguments = handler.arguments(given, context)
            if handler.is_async:
                value = await handler.function(*arguments)
            else:
                value = await asyncio.to_thread(handler.function, *arguments)
    except (asyncio.CancelledError, Stopped) as error:
        if asked_to_stop():
            raise
        return limits.raised(RuntimeError(f"The handler was cancelled from within: {error}"))
    except (Exception, SystemExit) as error:
        if scope.expired() and isinstance(error, TimeoutError):
            return limits.timeout(timeout_ms)
        return limits.raised(error)
    finally:
        # Whatever a thread still does is told that nobody waits for it.
        context.stop.set()
    return limits.succeeded(value)
