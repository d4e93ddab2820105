"""Handlers by task type: how they are registered, called, and how they say what went wrong. Pure.

A handler is ``async def`` or ``def`` (which runs in a thread) over the validated payload, and
optionally a ``TaskContext`` as second argument. Whatever it returns must be plain JSON or a
pydantic model. An exception is a failed attempt; ``Discard``, ``Retry`` and ``Suspend`` say more.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from app.errors import SettingsError
from app.names import TYPE_PATTERN, TaskKey, is_type
from app.retry import RetryPolicy

Function = TypeVar("Function", bound=Callable[..., Any])
Model = type[BaseModel]

TIMEOUT_S_MIN, TIMEOUT_S_MAX = 0.1, 86_400.0
MAX_ARGUMENTS: Final = 2


class HandlerSignal(Exception):
    """What a handler raises to decide for itself; ``type`` names the error in the record."""

    def __init__(self, message: str = "", *, type: str | None = None) -> None:
        self.type = type or self.__class__.__name__.lower()
        super().__init__(message)


class Discard(HandlerSignal):
    """Trying again is pointless: the task is dead at once."""


class Suspend(HandlerSignal):
    """The task must wait for a person: it is suspended."""


class Retry(HandlerSignal):
    """The attempt failed; try again ``after`` seconds (None: as the policy says)."""

    def __init__(
        self, message: str = "", *, after: float | None = None, type: str | None = None
    ) -> None:
        self.after = after
        super().__init__(message, type=type)


class RegistryError(SettingsError):
    """A handler that cannot be registered; the sentence says why."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a handler may know of its attempt; ``deadline_ms`` is wall clock, milliseconds UTC."""

    key: TaskKey
    run: int
    attempt: int
    deadline_ms: int
    context: Mapping[str, Any]

    @property
    def idempotency_key(self) -> str:
        """``tenant/queue/taskId``: what an effect is to be keyed on, so that it happens once."""
        return self.key.full


@dataclass(frozen=True, slots=True)
class Handler:
    """One task type. ``timeout_ms`` None: the default of every task."""

    type: str
    function: Callable[..., Any]
    payload: Model
    retry: RetryPolicy
    timeout_ms: int | None
    is_async: bool
    wants_context: bool

    def arguments(self, payload: BaseModel, context: TaskContext) -> tuple[Any, ...]:
        """What to call ``function`` with."""
        return (payload, context) if self.wants_context else (payload,)


class TaskRegistry:
    """The task types that a worker knows."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def task(
        self,
        type: str,
        *,
        payload: Model,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for ``type``.

        Args:
            type: the task type, ``[A-Za-z0-9][A-Za-z0-9._-]{0,126}``.
            payload: the model that a task's payload is validated by.
            retry: how often and after which delays; members given at submit go first.
            timeout: seconds one attempt may take; one given at submit goes first.

        Raises:
            RegistryError: the name, the timeout or the signature is wrong, or the type is taken.
        """

        def register(function: Function) -> Function:
            self._add(_handler(type, function, payload, retry, timeout))
            return function

        return register

    def get(self, type: str) -> Handler | None:
        """The handler of a type, None where it is unknown."""
        return self._handlers.get(type)

    @property
    def types(self) -> tuple[str, ...]:
        """Every known type, sorted."""
        return tuple(sorted(self._handlers))

    def including(self, other: "TaskRegistry") -> "TaskRegistry":
        """A registry with the handlers of both.

        Raises:
            RegistryError: both know the same type.
        """
        both = TaskRegistry()
        for registry in (self, other):
            for name in registry.types:
                both._add(registry._handlers[name])  # noqa: SLF001 - one of our own
        return both

    def _add(self, handler: Handler) -> None:
        if handler.type in self._handlers:
            raise RegistryError(
                f"The task type {handler.type!r} is registered twice. Give each handler a type of"
                " its own."
            )
        self._handlers[handler.type] = handler


def _handler(
    type: str,
    function: Callable[..., Any],
    payload: Any,
    retry: RetryPolicy | None,
    timeout: float | None,
) -> Handler:
    if not is_type(type):
        raise RegistryError(f"The task type {type!r} must match {TYPE_PATTERN}.")
    if not (inspect.isclass(payload) and issubclass(payload, BaseModel)):
        raise RegistryError(f"The payload of task type {type!r} must be a pydantic model.")
    if timeout is not None and not TIMEOUT_S_MIN <= timeout <= TIMEOUT_S_MAX:
        raise RegistryError(
            f"The timeout of task type {type!r} must be {TIMEOUT_S_MIN} to {TIMEOUT_S_MAX:.0f}"
            " seconds."
        )
    return Handler(
        type=type,
        function=function,
        payload=payload,
        retry=retry or RetryPolicy(),
        timeout_ms=None if timeout is None else round(timeout * 1000),
        is_async=inspect.iscoroutinefunction(function),
        wants_context=_arguments_of(type, function) == MAX_ARGUMENTS,
    )


def _arguments_of(type: str, function: Callable[..., Any]) -> int:
    parameters = inspect.signature(function).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in parameters if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    if required or not 1 <= len(places) <= MAX_ARGUMENTS:
        raise RegistryError(
            f"The handler of task type {type!r} must take the payload, and optionally the context"
            " as second argument."
        )
    return len(places)
