"""The registry: which handler runs a task type, with which options, and what it is called with."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from app.errors import SettingsError
from app.names import TYPE_PATTERN, is_type
from app.registry.context import TaskContext
from app.registry.parameters import Part, parts_of
from app.retry import RetryPolicy

Function = TypeVar("Function", bound=Callable[..., Any])
Model = type[BaseModel]
Lifespan = Callable[[], AbstractAsyncContextManager[Any]]
"""Opens what handlers need, once a worker; what it yields is their state."""

TIMEOUT_S_MIN, TIMEOUT_S_MAX = 0.1, 86_400.0


class RegistryError(SettingsError):
    """A handler that cannot be registered; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One task type. ``timeout_ms`` None: the default of every task."""

    type: str
    function: Callable[..., Any]
    payload: Model
    retry: RetryPolicy
    timeout_ms: int | None
    is_async: bool
    parts: tuple[Part, ...]
    """What ``function`` takes after the payload."""
    lifespan: Lifespan | None = None

    @property
    def wants_context(self) -> bool:
        """Whether it takes its ``TaskContext``."""
        return "context" in self.parts

    def arguments(self, payload: BaseModel, context: TaskContext) -> tuple[Any, ...]:
        """What to call ``function`` with."""
        return (payload, *(context if each == "context" else context.state for each in self.parts))


class TaskRegistry:
    """The task types that a worker knows.

    ``lifespan()`` is an async context manager that a worker enters once, before its first task, and
    leaves after its last; handlers get what it yields as ``TaskContext.state``, or as a parameter
    annotated with its type.
    """

    def __init__(self, *, lifespan: Lifespan | None = None) -> None:
        if lifespan is not None and not _is_lifespan(lifespan):
            raise RegistryError(
                "The lifespan of a registry must be a function that returns an async context"
                " manager, such as one under @asynccontextmanager; do not call it."
            )
        self._handlers: dict[str, Handler] = {}
        self._lifespans: list[Lifespan] = [lifespan] if lifespan else []
        self._lifespan = lifespan

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
            self._add(_handler(type, function, payload, retry, timeout, self._lifespan))
            return function

        return register

    def get(self, type: str) -> Handler | None:
        """The handler of a type, None where it is unknown."""
        return self._handlers.get(type)

    @property
    def types(self) -> tuple[str, ...]:
        """Every known type, sorted."""
        return tuple(sorted(self._handlers))

    @property
    def lifespans(self) -> tuple[Lifespan, ...]:
        """What a worker opens before it runs these handlers, in order."""
        return tuple(self._lifespans)

    def including(self, other: "TaskRegistry") -> "TaskRegistry":
        """A registry with the handlers of both.

        Raises:
            RegistryError: both know the same type.
        """
        both = TaskRegistry()
        for registry in (self, other):
            for name in registry.types:
                both._add(registry._handlers[name])  # noqa: SLF001 - one of our own
            new = [each for each in registry.lifespans if each not in both.lifespans]
            both._lifespans += new
        return both

    def _add(self, handler: Handler) -> None:
        if handler.type in self._handlers:
            raise RegistryError(
                f"The task type {handler.type!r} is registered twice. Give each handler a type of"
                " its own."
            )
        self._handlers[handler.type] = handler


def _is_lifespan(given: object) -> bool:
    # What @asynccontextmanager makes can be called itself: as a decorator.
    return callable(given) and not isinstance(given, AbstractAsyncContextManager)


def _handler(
    type: str,
    function: Callable[..., Any],
    payload: Any,
    retry: RetryPolicy | None,
    timeout: float | None,
    lifespan: Lifespan | None,
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
        is_async=inspect.iscoroutinefunction(function)
        or inspect.iscoroutinefunction(getattr(function, "__call__", None)),  # noqa: B004 - an object may be a handler
        parts=_parts(type, function, lifespan),
        lifespan=lifespan,
    )


def _parts(type: str, function: Callable[..., Any], lifespan: Lifespan | None) -> tuple[Part, ...]:
    try:
        parts = parts_of(function)
    except ValueError as error:
        raise RegistryError(f"The handler of task type {type!r} {error}") from error
    if "state" in parts and lifespan is None:
        raise RegistryError(
            f"The handler of task type {type!r} takes something beside the payload and the"
            " TaskContext, and its registry has nothing to give: make it"
            " TaskRegistry(lifespan=...), or annotate the parameter as TaskContext."
        )
    return parts
