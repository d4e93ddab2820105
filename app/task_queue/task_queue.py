"""``TaskQueue``: what producers and readers ask of Lifeboat, whatever they speak."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel

from app.amqp.link import Link
from app.broker.connection import RedisConnection
from app.broker.finished import FinishedTasks
from app.broker.presence import Presence
from app.broker.probe import probe_writes
from app.broker.watermark import Watermarks
from app.clock import monotonic_ms
from app.crashing import NOWHERE, CrashPoints
from app.errors import Fatal, LifeboatError
from app.ledger.ledger import Ledger
from app.lifecycle import cancel, wait_for
from app.names import QueueName, TaskKey
from app.settings import Settings
from app.state import TaskState
from app.task_queue.copies import Copies
from app.task_queue.fallback import Fallback, check_rabbitmq
from app.task_queue.figures import Figures
from app.task_queue.finding import Finder
from app.task_queue.finishing import Finishes
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.listing import Listing
from app.task_queue.open_queues import OpenQueues
from app.task_queue.operating import Operator
from app.task_queue.parked import Acted, Action, Filter, Selection
from app.task_queue.places import ledger_place, redis_place
from app.task_queue.quarantining import Quarantine
from app.task_queue.receipt import Receipt
from app.task_queue.recording import Recorder
from app.task_queue.redriving import Parked
from app.task_queue.rehydrations import Rehydrations
from app.task_queue.request import Prepared
from app.task_queue.submitting import Submitter
from app.task_queue.views import ShownPage, is_finished

EMPTY: Final[Mapping[str, type[BaseModel]]] = MappingProxyType({})
OPEN_WITHIN_S: Final = 1.0


class TaskQueue:
    """All queues of one tenant. Safe to share by everything in one process.

    ``run`` must be running beside the other calls; ``close`` ends what was started here and leaves
    the stores to their owner.
    """

    def __init__(
        self,
        settings: Settings,
        redis: RedisConnection,
        ledger: Ledger,
        payloads: Mapping[str, type[BaseModel]] = EMPTY,
        crashes: CrashPoints = NOWHERE,
    ) -> None:
        """``payloads``: models by type, for payloads that are judged before they are taken."""
        self._settings = settings
        self._redis = redis
        self._ledger = LedgerGate(
            ledger, ledger_place(settings), look_up_within_s=settings.store_timeout_ms / 2_000
        )
        self._queues = OpenQueues(redis, self._ledger, settings, crashes)
        self._copies = Copies(settings.rabbitmq_management_url, settings.rabbitmq_url)
        self._finishes = Finishes(self._ledger, self._queues.of)
        self._link: Link | None = None
        self._fallback: Fallback | None = None
        if settings.rabbitmq_url:
            self._link = Link(settings.rabbitmq_url, "api", returns_raise=True)
            if settings.on_redis_away == "fallback":
                self._fallback = Fallback(self._link, self._ledger, settings, crashes)
        self._submitter = Submitter(self._queues, self._ledger, settings, self._fallback, crashes)
        self._finder = Finder(
            self._ledger, self._queues.of, self._is_expected, lambda: self._finishes.closed
        )
        presence = Presence(redis, settings.env)
        self._figures = Figures(self._queues, redis, self._ledger, self._copies, presence)
        self._listing = Listing(self._ledger, self._queues.of)
        self._operator = Operator(
            settings, redis, self._ledger, self._queues, self._finder, payloads, crashes
        )
        self._quarantine = Quarantine(
            self._ledger,
            Recorder(self._ledger),
            self._submitter.submit,
            settings.tenant,
            crashes,
            mirrored=settings.rabbitmq_url is not None,
        )
        self.rehydrations = Rehydrations(self._ledger, settings.rabbitmq_url)
        self._must_stop = asyncio.Event()
        self._because: Fatal | None = None

    async def run(self) -> None:
        """Keep what the other calls need; ends only by cancellation.

        Raises:
            Fatal: going on could destroy work; the process must stop with its sentence.
        """
        if self._link is not None:
            self._link.start()
        loops = [
            asyncio.create_task(self._ledger.run(), name="ledger gate"),
            asyncio.create_task(self._follow_watermarks(), name="watermarks"),
            asyncio.create_task(self._follow_ends(), name="ends"),
            asyncio.create_task(self._raise_fatal(), name="fatal"),
        ]
        if self._fallback is not None:
            loops.append(asyncio.create_task(self._fallback.prepare(), name="fallback"))
        try:
            await asyncio.gather(*loops)
        finally:
            await cancel(*loops)

    async def try_open(self) -> None:
        """Open the ledger now if that is quick, so that the first calls do not find it away.

        Raises:
            LedgerMismatch: the ledger belongs to another env.
        """
        await self._ledger.try_open(OPEN_WITHIN_S)

    @property
    def waiters(self) -> int:
        """How many calls wait for a task to finish."""
        return self._finishes.count

    def release_waiters(self) -> None:
        """Answer those who wait for a task with the task as it is: the process stops."""
        self._finishes.release()

    async def close(self) -> None:
        """End what runs in the background."""
        await self._finishes.close()
        await self._queues.close()
        if self._link is not None:
            await self._link.close()
        await self._copies.close()

    @property
    def needs_redis(self) -> bool:
        """Whether a submit needs Redis now, rather than falling back on RabbitMQ."""
        return self._fallback is None or not self._fallback.is_ready

    def checks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Whether each store takes work, by its name; a check raises ``Unavailable`` to say no."""
        settings = self._settings
        return {
            "redis": partial(probe_writes, self._redis, settings.env, settings.tenant),
            "rabbitmq": partial(check_rabbitmq, self._link, self._fallback),
            "ledger": self._ledger.ping,
        }

    async def submit(self, prepared: Prepared) -> Receipt:
        """Accept a task, and wait for the level of durability it asks for.

        Raises:
            IdempotencyConflict: another request has its id.
            QueueFull: back-pressure.
            UnknownQueue, QueueLimitReached: the queue may not exist.
            DurabilityUnsupported: these servers never reach the level.
            DurabilityNotReached: kept, but refused as the caller wished.
            Unavailable: Redis is away; the task may have been accepted.
            LedgerMismatch: the process must stop.
        """
        with self._watched():
            return await self._submitter.submit(prepared)

    async def submit_many(self, batch: Sequence[Prepared]) -> list[Receipt | LifeboatError]:
        """Accept tasks, one call to Redis a queue; for each, in order, its receipt or its refusal.

        They wait for their levels together. Refusals are those that ``submit`` raises.

        Raises:
            LedgerMismatch: the process must stop.
        """
        with self._watched():
            return await self._submitter.submit_many(batch)

    async def get(
        self, task_id: str, queue: str | None = None, wait_s: float = 0
    ) -> dict[str, Any]:
        """A task as the contract shows it; waits up to ``wait_s`` for it to finish.

        Raises:
            TaskNotFound: both stores say so.
            AmbiguousTask: ``queue`` is not given and several have it.
            Unavailable: nobody can say now.
            LedgerMismatch: the process must stop.
        """
        until_ms = monotonic_ms() + round(wait_s * 1_000)
        with self._watched():
            if queue and wait_s > 0:
                return await self._wait(await self._queues.require(queue), task_id, until_ms)
            names, elsewhere = await self._queues.searched(queue)
            found = await self._finder.locate_by(task_id, names, until_ms, elsewhere)
            if is_finished(found.shown) or wait_s <= 0:
                return found.shown
            return await self._wait(found.name, task_id, until_ms)

    async def cancel(self, task_id: str, queue: str | None = None) -> dict[str, Any]:
        """Cancel a task, whatever it waits for; a running one is told to stop. The task.

        Raises:
            StateConflict: it has ended otherwise, or is dead.
            TaskNotFound, AmbiguousTask: see ``get``.
            Unavailable: a store is away; it may be cancelled yet. Ask again.
        """
        with self._watched():
            return await self._operator.cancel(task_id, queue)

    async def redrive(
        self,
        task_id: str,
        queue: str | None = None,
        payload: dict[str, Any] | None = None,
        *,
        expect: Parked,
    ) -> dict[str, Any]:
        """Start the next run of a task that is ``expect``, with another payload if wanted.

        Raises:
            StateConflict: it is in another state.
            InvalidTask, TooLarge: the payload breaks a rule.
            QueueFull: back-pressure.
            TaskNotFound, AmbiguousTask: see ``get``.
            Unavailable: a store is away; the run may have started. Ask again.
        """
        with self._watched():
            return await self._operator.redrive(task_id, queue, expect, payload)

    async def parked(
        self, queue: str, state: Parked, wanted: Filter, cursor: str | None, limit: int
    ) -> ShownPage:
        """A page of the dead or the suspended, the latest first, and the next page's cursor.

        Raises:
            TaskNotFound: there is no such queue.
            InvalidTask: the cursor is none of this list.
            Unavailable: the ledger is away.
        """
        with self._watched():
            return await self._operator.parked(queue, state, wanted, cursor, limit)

    async def act(
        self,
        queue: str,
        state: Parked,
        action: Action,
        selection: Selection,
        payload: dict[str, Any] | None = None,
    ) -> Acted:
        """Retry, resume or discard parked tasks.

        Raises:
            TaskNotFound: there is no such queue.
            InvalidTask, TooLarge: the payload breaks a rule.
            Unavailable: a store is away; a part may be done. Ask again.
        """
        with self._watched():
            return await self._operator.act(queue, state, action, selection, payload)

    async def pause(self, queue: str, *, paused: bool = True) -> dict[str, Any]:
        """Let no task of a queue start from now on, or let them start again. The queue.

        Raises:
            TaskNotFound: there is no such queue.
            Unavailable: a store is away; ask again.
        """
        with self._watched():
            return await self._figures.queue(await self._operator.pause(queue, paused=paused))

    async def clear(self, queue: str) -> int:
        """Cancel all tasks of a queue that have not started; how many.

        Raises:
            TaskNotFound: there is no such queue.
            Unavailable: a store is away; what was cancelled stays so. Ask again.
        """
        with self._watched():
            return await self._operator.clear(queue)

    async def tasks(
        self, queue: str, state: TaskState | None, type: str | None, cursor: str | None, limit: int
    ) -> ShownPage:
        """A page of a queue's tasks, and the next page's cursor.

        Raises:
            TaskNotFound: there is no such queue.
            InvalidTask: the cursor is none of this list.
            Unavailable: the store that has this part of the list is away.
        """
        with self._watched():
            name = await self._queues.require(queue)
            return await self._listing.tasks(name, state, type, cursor, limit)

    async def queues(self, cursor: str | None, limit: int) -> ShownPage:
        """A page of the tenant's queues, by name; see ``Figures.queues``."""
        with self._watched():
            return await self._figures.queues(cursor, limit)

    async def queue(self, queue: str) -> dict[str, Any]:
        """One queue with its figures.

        Raises:
            TaskNotFound: there is no such queue.
            Unavailable: Redis is away, or nobody can say whether the queue exists.
        """
        with self._watched():
            return await self._figures.queue(await self._queues.require(queue))

    async def coverage(self, queue: str, minutes: int) -> dict[str, Any]:
        """What was accepted in each minute, and what of it has its copy. Raises as ``queue``."""
        with self._watched():
            return await self._figures.coverage(await self._queues.require(queue), minutes)

    async def canary(self, queue: str, task_id: str) -> dict[str, Any]:
        """How far round a canary is; see ``Figures.canary``."""
        with self._watched():
            return await self._figures.canary(await self._queues.require(queue), task_id)

    async def workers(self, cursor: str | None, limit: int) -> ShownPage:
        """A page of the workers that live, by name; see ``Figures.workers``."""
        with self._watched():
            return await self._figures.workers(self._settings.tenant, cursor, limit)

    async def quarantined(self, cursor: str | None, limit: int) -> ShownPage:
        """A page of what lies in the quarantine; see ``Quarantine.listed``."""
        with self._watched():
            return await self._quarantine.listed(cursor, limit)

    async def requeue(self, id: str, judge: Callable[[bytes], Prepared]) -> Receipt:
        """Accept the envelope of a quarantined copy; see ``Quarantine.requeue``."""
        with self._watched():
            return await self._quarantine.requeue(id, judge)

    async def discard_quarantined(self, id: str) -> dict[str, Any]:
        """Let a quarantined copy go; see ``Quarantine.discard``."""
        with self._watched():
            return await self._quarantine.discard(id)

    async def mirrors(self, cursor: str | None, limit: int) -> ShownPage:
        """How far the copies of each queue are, a page by name; see ``Figures.mirrors``."""
        with self._watched():
            return await self._figures.mirrors(cursor, limit)

    async def _wait(self, name: QueueName, task_id: str, until_ms: int) -> dict[str, Any]:
        async with self._finishes.watch(name.task(task_id)) as watch:
            while True:
                found = await self._finder.locate_by(task_id, [name], until_ms)
                left_ms = until_ms - monotonic_ms()
                if is_finished(found.shown) or left_ms <= 0 or self._finishes.closed:
                    return found.shown
                await watch.wait(left_ms / 1_000)

    def _is_expected(self, key: TaskKey) -> bool:
        return self._fallback is not None and self._fallback.remembers(key)

    async def _follow_watermarks(self) -> None:
        settings = self._settings
        await wait_for(redis_place(settings), self._redis.ping)
        watermarks = Watermarks(self._redis, settings.env, settings.tenant)
        await watermarks.follow(self._queues.tell)

    async def _follow_ends(self) -> None:
        settings = self._settings

        def told(channel: str, task_ids: list[str]) -> None:
            name = self._queues.finished_on(channel)
            if name is not None:
                self._finishes.tell(name, task_ids)

        await wait_for(redis_place(settings), self._redis.ping)
        await FinishedTasks(self._redis, settings.env, settings.tenant).follow(told)

    async def _raise_fatal(self) -> None:
        await self._must_stop.wait()
        if self._because is not None:
            raise self._because

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """What must stop the process reaches ``run`` too, whoever met it."""
        try:
            yield
        except Fatal as error:
            self._because = error
            self._must_stop.set()
            raise
