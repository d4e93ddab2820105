"""Handlers by task type: how they are registered, what they get, and what they raise. Pure.

A handler is ``async def`` or ``def`` (which runs in a thread) over the validated payload, and if it
wants them its ``TaskContext`` and the state of its registry's lifespan. Whatever it returns must be
plain JSON or a pydantic model. An exception is a failed attempt; ``Discard``, ``Retry`` and
``Suspend`` say more.
"""

from app.registry.context import StopFlag, TaskContext
from app.registry.registry import Handler, Lifespan, RegistryError, TaskRegistry
from app.registry.signals import Discard, HandlerSignal, Retry, Stopped, Suspend

__all__ = [
    "Discard",
    "Handler",
    "HandlerSignal",
    "Lifespan",
    "RegistryError",
    "Retry",
    "StopFlag",
    "Stopped",
    "Suspend",
    "TaskContext",
    "TaskRegistry",
]
