"""Threads for ``def`` handlers, which never hold up the end of the process.

The interpreter joins the threads of a ``ThreadPoolExecutor`` before it exits, so one handler that
does not return would keep a stopped worker for ever.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]

STUCK_PER_SLOT: Final = 2


class Threads:
    """Runs calls in daemon threads, started as they are needed and kept for the next call.

    ``at_most`` threads; calls beyond them wait for one. Used from one event loop.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._started = 0
        self._unfinished = 0

    async def run(self, call: Callable[[], Any]) -> Any:
        """What ``call()`` returns or raises. Cancelled: the call runs on, for nobody."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._unfinished += 1
        if self._unfinished > self._started and self._started < self._at_most:
            self._started += 1
            name = f"handler-{self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put((call, loop, future))
        return await future

    def close(self) -> None:
        """End the threads that have nothing to do; the others end with what they do."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, loop, future = job
            value: Any = None
            error: BaseException | None = None
            try:
                if not future.cancelled():
                    value = call()
            except BaseException as raised:
                # Whatever a handler raises is for whoever awaits it, not for the thread.
                error = raised
            try:
                loop.call_soon_threadsafe(self._ended, future, value, error)
            except RuntimeError:
                # The loop is closed: the process is about to end.
                return
            del job, call, future, value, error

    def _ended(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        self._unfinished -= 1
        if future.done():
            return
        if isinstance(error, StopIteration):
            # No future takes one.
            error = RuntimeError(f"StopIteration: {error}")
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
