"""The queues of one mirror queue in Redis: one of each tenant whose copies are seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.broker.connection import RedisConnection
from app.broker.coverage import count_retired
from app.broker.delivery import Delivery, Settle
from app.broker.generation import complete
from app.broker.history import Sight, keep_since, pend, sight
from app.broker.intake import Intake
from app.broker.recovery import Recovery
from app.broker.survey import START, Cursor, Survey
from app.canary import is_canary
from app.crashing import NOWHERE, CrashPoints
from app.ledger.ledger import Ledger
from app.metrics import Metrics
from app.names import QueueName, TaskKey
from app.sessions import QueueSession
from app.settings import Settings
from mirror.publisher import Publisher

ROUNDS_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Stores:
    """What every part of a rehydrator works with."""

    settings: Settings
    redis: RedisConnection
    ledger: Ledger
    publisher: Publisher
    metrics: Metrics
    rabbitmq_url: str
    crashes: CrashPoints = NOWHERE


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
        self._survey = Survey(stores.redis, self.session.keys)
        self._intake = Intake(stores.redis, self.session.keys, queue_max=0, unmirrored_max=0)

    def key(self, task_id: str) -> TaskKey:
        """The full name of a task of this queue."""
        return self.name.task(task_id)

    async def sight(self, token: str) -> Sight:
        """How far its history got.

        Raises:
            StaleGeneration: Redis lost or changed it.
            Unavailable: Redis is away.
        """
        return await sight(self._redis, self.session.keys, token)

    async def pend(self, token: str) -> None:
        """Note that copies must be looked at, as in a new generation."""
        await pend(self._redis, self.session.keys, token)

    async def keep_since(self, token: str) -> None:
        """Note that a new generation goes on where the one before it ended."""
        await keep_since(self._redis, self.session.keys, token)

    async def journal_again(self, token: str) -> int:
        """Journal what is open, has no confirmed copy and is not in the journal (rule 3).

        Returns how many tasks that were.
        """
        journaled = 0
        for _ in range(ROUNDS_MAX):
            # Another round, for what moved from one place to another while it was looked for.
            if not (found := await self._journal_unmarked(token)):
                break
            journaled += found
        return journaled

    async def _journal_unmarked(self, token: str) -> int:
        journaled = 0
        cursor: Cursor | None = START
        while cursor is not None:
            ids, cursor = await self._survey.walk(token, cursor)
            marks = await self._intake.mirrored(token, [(each, 1) for each in ids])
            unmarked = [each for each, mark in zip(ids, marks, strict=True) if mark is False]
            answers = await self._survey.rejournal(token, list(dict.fromkeys(unmarked)))
            journaled += sum(each.outcome == "journaled" for each in answers)
        return journaled

    async def settle(self, settles: Sequence[Settle]) -> None:
        """Take finished tasks from their place."""
        await self._delivery.settle(await self.session.token(), settles)

    async def count_retired(self, task_ids: Sequence[str]) -> None:
        """Count the copies of these tasks as let go."""
        await count_retired(
            self._redis,
            self.session.keys,
            await self.session.token(),
            len(task_ids),
            [each for each in task_ids if is_canary(each)],
        )

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
