"""Waiting for tasks to finish: one subscription a process wakes everybody who waits.

Level-triggered all the same: an announcement only says when to look, and a slow sweep looks for
those whose announcement was lost, in Redis first and in the ledger to be sure.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from app.errors import StaleGeneration, Unavailable
from app.lifecycle import cancel
from app.names import QueueName, TaskKey
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 5.0
SHARE: Final = 20
"""A sweep that takes long is followed by a pause so many times as long."""
TASKS_A_LOOK: Final = 500


class Watch:
    """One who waits for one task."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        """Look at the task now."""
        self._told.set()

    async def wait(self, within_s: float) -> None:
        """Return when it is time to look at the task, or the time is over; then wait anew."""
        try:
            async with asyncio.timeout(within_s):
                await self._told.wait()
        except TimeoutError:
            return
        self._told.clear()


class Finishes:
    """Everybody in this process who waits for a task to finish."""

    def __init__(self, ledger: LedgerGate, queue_of: Callable[[QueueName], OpenQueue]) -> None:
        self._ledger = ledger
        self._queue_of = queue_of
        self._waiting: dict[TaskKey, set[Watch]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self.closed = False

    @property
    def count(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def watch(self, key: TaskKey) -> AsyncIterator[Watch]:
        """Be told of a task's end, from before it is looked at: nothing is missed in between."""
        watch = Watch()
        self._waiting.setdefault(key, set()).add(watch)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep_while_waited(), name="finishes")
        try:
            yield watch
        finally:
            self._leave(key, watch)

    def tell(self, name: QueueName, task_ids: Iterable[str]) -> None:
        """Tasks of a queue have finished."""
        for task_id in task_ids:
            self._tell(name.task(task_id))

    def release(self) -> None:
        """The process stops: nobody waits any longer."""
        self.closed = True
        for key in list(self._waiting):
            self._tell(key)

    async def close(self) -> None:
        """Stop looking."""
        self.release()
        if self._sweeping is not None:
            await cancel(self._sweeping)

    def _leave(self, key: TaskKey, watch: Watch) -> None:
        others = self._waiting.get(key, set())
        others.discard(watch)
        if not others:
            self._waiting.pop(key, None)

    async def _sweep_while_waited(self) -> None:
        loop = asyncio.get_running_loop()
        took = 0.0
        while self._waiting:
            await asyncio.sleep(max(SWEEP_EVERY_S, SHARE * took))
            began = loop.time()
            try:
                await self._sweep()
            except Exception:
                log.exception("Looking for finished tasks failed.")
            took = loop.time() - began

    async def _sweep(self) -> None:
        doubtful: list[TaskKey] = []
        for name, keys in self._by_queue().items():
            for start in range(0, len(keys), TASKS_A_LOOK):
                doubtful += await self._look_in_redis(name, keys[start : start + TASKS_A_LOOK])
        if doubtful:
            await self._ask_ledger(doubtful)

    async def _look_in_redis(self, name: QueueName, keys: list[TaskKey]) -> list[TaskKey]:
        """Tell those that are settled here; return those Redis cannot speak of."""
        queue = self._queue_of(name)
        try:
            token = await queue.session.token()
            found = await queue.recovery.inspect(token, [key.task_id for key in keys])
        except StaleGeneration:
            queue.session.forget()
            return keys
        except Unavailable:
            return keys
        for key, standing in zip(keys, found, strict=True):
            if standing.standing == "settled":
                self._tell(key)
        return [
            key
            for key, standing in zip(keys, found, strict=True)
            if standing.standing in ("absent", "displaced")
        ]

    async def _ask_ledger(self, keys: list[TaskKey]) -> None:
        try:
            standings = await self._ledger.ask(keys)
        except Unavailable:
            return
        for key in keys:
            standing = standings.get(key)
            if standing is not None and standing.finished_run and standing.open is None:
                self._tell(key)

    def _tell(self, key: TaskKey) -> None:
        for watch in self._waiting.get(key, ()):
            watch.tell()

    def _by_queue(self) -> Mapping[QueueName, list[TaskKey]]:
        found: dict[QueueName, list[TaskKey]] = {}
        for key in self._waiting:
            found.setdefault(QueueName(key.tenant, key.queue), []).append(key)
        return found
