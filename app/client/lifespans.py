"""What handlers need, opened once for the tries of one client."""

import asyncio
from typing import Any

from app.registry import Lifespan


class Lifespans:
    """Lifespans of registries, each entered by its first use and left by ``close``.

    Each lives in a task of its own: what an async context manager enters in one task it must leave
    in the same.
    """

    def __init__(self) -> None:
        self._opened: dict[Lifespan, tuple[asyncio.Task[None], asyncio.Future[Any]]] = {}
        self._closing = asyncio.Event()

    async def state_of(self, lifespan: Lifespan | None) -> Any:
        """What the lifespan yielded, None without one. Raises what entering it raises."""
        if lifespan is None:
            return None
        if lifespan not in self._opened:
            state: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._hold(lifespan, state), name="lifespan")
            self._opened[lifespan] = task, state
        return await asyncio.shield(self._opened[lifespan][1])

    async def close(self) -> None:
        """Leave all of them, the last first; raises what leaving raises."""
        self._closing.set()
        for task, _ in reversed(self._opened.values()):
            await task
        self._opened.clear()

    async def _hold(self, lifespan: Lifespan, state: asyncio.Future[Any]) -> None:
        try:
            async with lifespan() as yielded:
                state.set_result(yielded)
                await self._closing.wait()
        except Exception as error:
            if state.done():
                raise
            # The next try may have more luck.
            del self._opened[lifespan]
            state.set_exception(error)
