"""Natural batching: what queues up while one call is in flight goes into the next call.

Turns many small awaits into few calls, without a timer: a lone item is sent at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

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
            self._running.add(asyncio.create_task(self._drain()))
        return await future

    async def _drain(self) -> None:
        try:
            # One turn of the loop lets everything that is ready now join the first batch.
            await asyncio.sleep(0)
            while self._waiting:
                batch = self._waiting[: self._max_items]
                del self._waiting[: self._max_items]
                await self._send(batch)
        except BaseException as error:
            # Cancelled: nobody else may be there to send what came meanwhile.
            rest, self._waiting = self._waiting, []
            _fail(rest, error)
            raise
        finally:
            # In the same turn as the last look, or an item added in between would wait for ever.
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._flush([item for item, _ in batch])
            pairs = list(zip(batch, answers, strict=True))
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in pairs:
            if not future.done():
                future.set_result(answer)


def _fail(batch: list[tuple[Item, asyncio.Future[Answer]]], error: BaseException) -> None:
    # A cancelled flush must not look like a cancellation of the waiter.
    told = error if isinstance(error, Exception) else ConnectionError("the batch was cancelled")
    for _, future in batch:
        if not future.done():
            future.set_exception(told)
