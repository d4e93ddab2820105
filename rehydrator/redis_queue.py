"""The queues of one mirror queue in Redis: one of each tenant whose copies are seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.broker.connection import RedisConnection
from app.broker.delivery import Delivery, Settle
from app.broker.generation import complete
from app.broker.recovery import Recovery
from app.ledger.ledger import Ledger
from app.metrics import Metrics
from app.names import QueueName, TaskKey
from app.sessions import QueueSession
from app.settings import Settings
from mirror.publisher import Publisher


@dataclass(frozen=True, slots=True)
class Stores:
    """What every part of a rehydrator works with."""

    settings: Settings
    redis: RedisConnection
    ledger: Ledger
    publisher: Publisher
    metrics: Metrics
    rabbitmq_url: str


class RedisQueue:
    """One queue of one tenant: its session and the rehydrator's verbs."""

    def __init__(self, stores: Stores, name: QueueName) -> None:
        settings = stores.settings
        self.name = name
        self.session = QueueSession(
            stores.redis, stores.ledger, settings.env, name, adopt=settings.adopt_ledger
        )
        self.recovery = Recovery(stores.redis, self.session.keys)
        self._redis = stores.redis
        self._delivery = Delivery(stores.redis, self.session.keys, dedup_ms=settings.dedup_ms)

    def key(self, task_id: str) -> TaskKey:
        """The full name of a task of this queue."""
        return self.name.task(task_id)

    async def check(self) -> None:
        """Notice that Redis lost or changed its history.

        Raises:
            StaleGeneration: it did.
            Unavailable: Redis is away.
        """
        await self.recovery.inspect(await self.session.token(), [])

    async def settle(self, settles: Sequence[Settle]) -> None:
        """Take finished tasks from their place."""
        await self._delivery.settle(await self.session.token(), settles)

    async def complete(self, token: str) -> None:
        """Note that every copy up to a fence was looked at under ``token``."""
        await complete(self._redis, self.session.keys, token)


class RedisQueues:
    """The queues met so far."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._known: dict[QueueName, RedisQueue] = {}

    def of(self, name: QueueName) -> RedisQueue:
        """The queue of this name, met now at the latest."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = RedisQueue(self._stores, name)
        return found

    def __iter__(self) -> Iterator[RedisQueue]:
        return iter(list(self._known.values()))

    def forget(self) -> None:
        """Learn every generation anew; whatever was learnt under the old ones is void (rule 1)."""
        for queue in self:
            queue.session.forget()
