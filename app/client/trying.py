"""Calling a handler here and now, once, and whether its error is worth another try later."""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from app.client.results import Receipt
from app.clock import now_ms
from app.envelope import DEFAULT_TIMEOUT_MS
from app.names import TaskKey
from app.registry import Handler, RegistryError, Retry, TaskContext, TaskRegistry

NO_ATTEMPT: Final = 0
"""What the context of a try says of its attempt: it is none of the task's."""
UNREACHABLE: Final = frozenset(
    {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH}
)
OF_THE_MOMENT: Final = (
    Retry,
    TimeoutError,
    ConnectionError,
    socket.gaierror,
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
)


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a try: ``result``, or the receipt of the queued task and why it was queued."""

    result: Any
    receipt: Receipt | None = None
    error: Exception | None = None

    @property
    def is_queued(self) -> bool:
        """Whether the try failed and a task will do it."""
        return self.receipt is not None


def handler_of(registry: TaskRegistry, task: str | Callable[..., Any]) -> Handler:
    """The handler of a type, or the one that a function is registered as.

    Raises:
        RegistryError: there is none.
    """
    handlers = [registry.get(name) for name in registry.types]
    for handler in handlers:
        if handler is not None and task in (handler.type, handler.function):
            return handler
    name = task if isinstance(task, str) else getattr(task, "__qualname__", repr(task))
    raise RegistryError(
        f"The client's registry has no handler {name}. Give the registry to the client, and"
        f" register it there; it knows {', '.join(registry.types) or 'none'}."
    )


async def try_once(handler: Handler, key: TaskKey, body: Mapping[str, Any], state: Any) -> Any:
    """What the handler returns; a ``def`` one runs in a thread.

    ``body`` is that of the submit, ``state`` what the handler's lifespan yielded. Raises whatever
    the handler raises; ``TimeoutError`` when it takes too long.
    """
    payload = handler.payload.model_validate(body["payload"])
    limit_ms = body.get("timeoutMs") or handler.timeout_ms or DEFAULT_TIMEOUT_MS
    context = TaskContext(
        key=key,
        run=1,
        attempt=NO_ATTEMPT,
        deadline_ms=now_ms() + limit_ms,
        context=body["context"],
        state=state,
    )
    arguments = handler.arguments(payload, context)
    try:
        async with asyncio.timeout(limit_ms / 1_000):
            if handler.is_async:
                return await handler.function(*arguments)
            return await asyncio.to_thread(handler.function, *arguments)
    finally:
        # Whatever a thread still does is told that nobody waits for it.
        context.stop.set()


def is_retryable(error: Exception, retry_on: Sequence[type[Exception]]) -> bool:
    """Whether a later try may succeed where this one failed."""
    if isinstance(error, (*OF_THE_MOMENT, *retry_on)):
        return True
    return isinstance(error, OSError) and error.errno in UNREACHABLE
