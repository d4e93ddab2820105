"""What operators do: cancel, redrive, discard, pause, clear, and empty the quarantine.

Each action is recorded in the ledger once it is done.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from pydantic import BaseModel

from app.broker.connection import RedisConnection
from app.broker.generation import set_paused
from app.crashing import CrashPoints
from app.errors import TaskNotFound, Unavailable
from app.names import QueueName
from app.settings import Settings
from app.task_queue.cancelling import Canceller
from app.task_queue.finding import Finder
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queues import OpenQueues
from app.task_queue.parked import Acted, Action, Filter, ParkedTasks, Selection
from app.task_queue.recording import Recorder
from app.task_queue.redriving import VERBS, Parked, Payload, Redriver
from app.task_queue.views import ShownPage

LOOKS: Final = 5
"""A task that moves under an action is looked at again so often."""


class Operator:
    """Actions on tasks and queues of one tenant."""

    def __init__(
        self,
        settings: Settings,
        redis: RedisConnection,
        ledger: LedgerGate,
        queues: OpenQueues,
        finder: Finder,
        payloads: Mapping[str, type[BaseModel]],
        crashes: CrashPoints,
    ) -> None:
        mirrored = settings.rabbitmq_url is not None
        self._redis = redis
        self._crashes = crashes
        self._ledger = ledger
        self._queues = queues
        self._finder = finder
        self._recorder = Recorder(ledger)
        self._canceller = Canceller(ledger, queues.of, crashes, mirrored=mirrored)
        self._redriver = Redriver(ledger, queues.of, settings, payloads, crashes)
        self._parked = ParkedTasks(ledger, self._redriver, self._recorder, queues.of)

    async def cancel(self, task_id: str, queue: str | None) -> dict[str, Any]:
        """See ``TaskQueue.cancel``."""
        for _ in range(LOOKS):
            searched = await self._queues.searched(queue)
            found = await self._finder.locate(task_id, *searched, surely=True)
            if await self._canceller.cancel(found):
                await self._recorder.record("cancel", found.name, {"taskId": task_id}, 1)
                return (await self._finder.locate(task_id, [found.name])).shown
        raise Unavailable("redis", "the task keeps moving: ask again")

    async def redrive(
        self, task_id: str, queue: str | None, expect: Parked, payload: Payload | None
    ) -> dict[str, Any]:
        """See ``TaskQueue.redrive``."""
        searched = await self._queues.searched(queue)
        found = await self._finder.locate(task_id, *searched, surely=True)
        await self._redriver.redrive(found, expect, payload)
        await self._recorder.record(VERBS[expect], found.name, {"taskId": task_id}, 1)
        return (await self._finder.locate(task_id, [found.name])).shown

    async def parked(
        self, queue: str, state: Parked, wanted: Filter, cursor: str | None, limit: int
    ) -> ShownPage:
        """See ``TaskQueue.parked``."""
        name = await self._queues.require(queue)
        return await self._parked.listed(name, state, wanted, cursor, limit)

    async def act(
        self,
        queue: str,
        state: Parked,
        action: Action,
        selection: Selection,
        payload: Payload | None,
    ) -> Acted:
        """See ``TaskQueue.act``."""
        name = await self._queues.require(queue)
        return await self._parked.act(name, state, action, selection, payload)

    async def pause(self, queue: str, *, paused: bool) -> QueueName:
        """See ``TaskQueue.pause``; the queue's full name."""
        name = await self._queues.require(queue)
        if not await self._ledger.set_paused(name.tenant, name.queue, paused=paused):
            raise TaskNotFound(f"There is no queue {queue}.")
        self._crashes.reach("api.after_paused")
        opened = self._queues.of(name)
        # The ledger first: a Redis that comes later takes the flag from there.
        await opened.under_token(partial(set_paused, self._redis, opened.keys, paused=paused))
        await self._recorder.record("pause" if paused else "unpause", name, {"all": True}, 1)
        return name

    async def clear(self, queue: str) -> int:
        """See ``TaskQueue.clear``."""
        name = await self._queues.require(queue)
        cancelled = await self._canceller.clear(name)
        await self._recorder.record("clear", name, {"all": True}, cancelled)
        return cancelled
