"""What handlers need, opened before the first task and closed after the last."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from app.errors import Fatal
from app.registry import Lifespan, TaskRegistry

log = logging.getLogger(__name__)

States = Mapping[Lifespan, Any]


class LifespanFailed(Fatal):
    """What the handlers need could not be opened: no task may run."""


@asynccontextmanager
async def opened(registry: TaskRegistry) -> AsyncIterator[States]:
    """The state of each of the registry's lifespans, as long as they are open.

    Raises:
        LifespanFailed: one failed to open; those before it are closed.
    """
    stack = AsyncExitStack()
    states: dict[Lifespan, Any] = {}
    try:
        for lifespan in registry.lifespans:
            states[lifespan] = await _open(stack, lifespan)
        yield states
    finally:
        try:
            await stack.aclose()
        except Exception:
            # The tasks are done, and whoever stops must not fail over this.
            log.exception("A lifespan failed to close.")


async def _open(stack: AsyncExitStack, lifespan: Lifespan) -> Any:
    try:
        return await stack.enter_async_context(lifespan())
    except Exception as error:
        name = getattr(lifespan, "__qualname__", repr(lifespan))
        raise LifespanFailed(
            f"The lifespan {name} could not be opened: {type(error).__name__}: {error}. No task"
            " runs without it: mend it and start the worker again."
        ) from error
