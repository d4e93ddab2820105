"""Waiting for tasks to finish: one loop a process looks for everybody who waits.

Level-triggered: it looks at states, in Redis first and in the ledger to be sure. An announcement
could later wake it sooner; nobody who waits would notice the difference.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from app.errors import StaleGeneration, Unavailable
from app.lifecycle import cancel
from app.names import QueueName, TaskKey
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.05
ASK_EVERY_S: Final = 0.5
SHARE: Final = 5
"""A look that takes long is followed by a pause so many times as long."""
TASKS_A_LOOK: Final = 500


class Finishes:
    """Everybody in this process who waits for a task to finish."""

    def __init__(self, ledger: LedgerGate, queue_of: Callable[[QueueName], OpenQueue]) -> None:
        self._ledger = ledger
        self._queue_of = queue_of
        self._waiting: dict[TaskKey, list[asyncio.Future[None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._ask_at = 0.0

    async def wait(self, key: TaskKey, within_s: float) -> None:
        """Return when the task has finished or the time is over, whichever is first."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_waited(), name="finishes")
        try:
            async with asyncio.timeout(within_s):
                await future
        except TimeoutError:
            return
        finally:
            self._leave(key, future)

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            await cancel(self._looking)

    def _leave(self, key: TaskKey, future: asyncio.Future[None]) -> None:
        others = self._waiting.get(key, [])
        if future in others:
            others.remove(future)
        if not others:
            self._waiting.pop(key, None)

    async def _look_while_waited(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            began = loop.time()
            try:
                await self._look()
            except Exception:
                log.exception("Looking for finished tasks failed.")
            took = loop.time() - began
            await asyncio.sleep(max(LOOK_EVERY_S, SHARE * took))

    async def _look(self) -> None:
        doubtful: list[TaskKey] = []
        for name, keys in self._by_queue().items():
            for start in range(0, len(keys), TASKS_A_LOOK):
                doubtful += await self._look_in_redis(name, keys[start : start + TASKS_A_LOOK])
        now = asyncio.get_running_loop().time()
        if doubtful and now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
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
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(None)

    def _by_queue(self) -> Mapping[QueueName, list[TaskKey]]:
        found: dict[QueueName, list[TaskKey]] = {}
        for key in self._waiting:
            found.setdefault(QueueName(key.tenant, key.queue), []).append(key)
        return found
