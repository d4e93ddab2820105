"""The queues this process has opened, and which it may open: only such as exist."""

from app.broker.connection import RedisConnection
from app.crashing import CrashPoints
from app.errors import Unavailable
from app.names import QueueName
from app.settings import Settings
from app.task_queue.known_queues import KnownQueues
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import OpenQueue


class OpenQueues:
    """One ``OpenQueue`` a queue, for everything in this process."""

    def __init__(
        self, redis: RedisConnection, ledger: LedgerGate, settings: Settings, crashes: CrashPoints
    ) -> None:
        self._crashes = crashes
        self._redis = redis
        self._ledger = ledger
        self._settings = settings
        self._known = KnownQueues(
            ledger, settings.tenant, closed=settings.queues, limit=settings.limit_queues
        )
        self._open: dict[QueueName, OpenQueue] = {}
        self._compared_with = ""

    def of(self, name: QueueName) -> OpenQueue:
        """A queue that is known to exist."""
        identity = self._ledger.identity
        if identity != self._compared_with:
            # What was learnt of Redis before the ledger was reached was never compared with it.
            self._compared_with = identity
            for queue in self._open.values():
                queue.session.forget()
        if name not in self._open:
            self._open[name] = OpenQueue(
                self._redis, self._ledger, self._settings, name, self._crashes
            )
        return self._open[name]

    async def made(self, name: QueueName) -> OpenQueue:
        """A queue that exists from now on, if it did not yet.

        Raises:
            UnknownQueue: it is not on the closed list.
            QueueLimitReached: the tenant has as many as it may.
            Unavailable: the ledger is away and Redis has never seen the queue.
        """
        self._known.check(name.queue)
        queue = self.of(name)
        if not self._known.knows(name.queue):
            try:
                await self._known.ensure(name.queue)
            except Unavailable:
                await self._note_from_redis(queue)
        return queue

    async def made_for(self, name: QueueName, *, fsync: bool) -> OpenQueue:
        """The same, unless an ``fsync`` is wanted that cannot be had: nothing is made then.

        Raises:
            DurabilityUnsupported: this Redis cannot say what it has on disk.
        """
        if fsync:
            await self._redis.check_fsync()
        return await self.made(name)

    async def require(self, queue: str) -> QueueName:
        """A queue that exists.

        Raises:
            TaskNotFound: there is none of this name.
            Unavailable: the ledger is away and Redis has never seen the queue.
        """
        try:
            return await self._known.require(queue)
        except Unavailable:
            name = QueueName(self._settings.tenant, queue)
            await self._note_from_redis(self.of(name))
            return name

    async def all(self) -> tuple[list[QueueName], Unavailable | None]:
        """The tenant's queues by name, and why there may be others: the ledger is away."""
        return await self._known.all()

    async def searched(self, queue: str | None) -> tuple[list[QueueName], Unavailable | None]:
        """Where to look for a task: the queue that is named, or all as ``all`` tells them.

        Raises:
            TaskNotFound: there is no queue of this name.
            Unavailable: nobody can say whether there is one.
        """
        if queue:
            return [await self.require(queue)], None
        return await self.all()

    def tell(self, channel: str, watermark: str) -> None:
        """A mirror announced on ``channel`` how far its copies are confirmed."""
        for queue in self._open.values():
            if queue.keys.watermark_channel == channel:
                queue.confirmations.tell(watermark)

    def finished_on(self, channel: str) -> QueueName | None:
        """The queue whose tasks' ends are announced on ``channel``, None: not opened here."""
        for name, queue in self._open.items():
            if queue.keys.finished_channel == channel:
                return name
        return None

    async def close(self) -> None:
        """Stop what runs for each queue."""
        for queue in self._open.values():
            await queue.close()

    async def _note_from_redis(self, queue: OpenQueue) -> None:
        if not await queue.exists_in_redis():
            raise Unavailable(
                "ledger", f"nobody can say or settle now whether queue {queue.name.queue} exists"
            )
        self._known.note(queue.name.queue)
