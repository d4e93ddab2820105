"""Natural batching: what queues up while one call is in flight goes into the next call.

Turns many small awaits into few calls, without a timer: a lone item is sent at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Gatherer(Generic[Item, Answer]):
    """Gathers concurrent items into calls of ``flush(items) -> answers`` (same order, same length).

    ``lanes`` calls may be in flight at a time. An exception of ``flush`` reaches every caller of
    that batch.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_items: int,
        lanes: int = 1,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._lanes = lanes
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def add(self, item: Item) -> Answer:
        """Put ``item`` into the next call and wait for its answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._running) < self._lanes:
            task = asyncio.create_task(self._drain())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _drain(self) -> None:
        # One turn of the loop lets everything that is ready now join the first batch.
        await asyncio.sleep(0)
        while self._waiting:
            batch = self._waiting[: self._max_items]
            del self._waiting[: self._max_items]
            await self._send(batch)

    async def _send(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._flush([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(_for_waiter(error))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def _for_waiter(error: BaseException) -> BaseException:
    # A cancelled flush must not look like a cancellation of the waiter.
    return error if isinstance(error, Exception) else ConnectionError("the batch was cancelled")
