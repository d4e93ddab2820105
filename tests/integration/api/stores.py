"""The stores behind the API, and what a mirror and a worker do with them."""

from app.broker.delivery import Delivery, Settle
from app.broker.generation import attach, complete
from app.broker.journal import Journal, Sightings
from app.broker.keys import QueueKeys
from app.clock import now_ms
from app.envelope import decode
from app.ledger.records import About, AttemptRecord, Finish, FinishedPart
from app.names import QueueName, new_token
from app.state import TaskState

OWNER = "test-mirror"


class Stores:
    def __init__(self, redis, ledger, settings):
        self.redis = redis
        self.ledger = ledger
        self.settings = settings

    def keys(self, queue="default"):
        return QueueKeys(self.settings.env, QueueName(self.settings.tenant, queue))

    async def token(self, queue="default"):
        return (await attach(self.redis, self.keys(queue), self.ledger.identity)).token

    async def redis_keys(self):
        """Every key of this test's queues."""
        found = await self.redis.redis.keys(f"lb:{{{self.settings.env}.{self.settings.tenant}.*")
        return sorted(key.decode() for key in found)

    async def task_ids(self, queue="default"):
        """Every task Redis knows in a queue."""
        before = self.keys(queue).task("")
        return [key.removeprefix(before) for key in await self.redis_keys() if before in key]

    async def nothing_is_kept(self):
        return await self.redis_keys() == [] and await self.ledger.queues() == []

    async def looked_at_everything(self, queue="default"):
        """As a rehydrator notes it."""
        await complete(self.redis, self.keys(queue), await self.token(queue))

    async def mirror(self, queue="default"):
        """Confirm whatever lies in the journal; how many tasks."""
        journal, token = Journal(self.redis, self.keys(queue)), await self.token(queue)
        entries, _ = await journal.read(token, None, 1_000)
        return await journal.trim(token, entries) if entries else 0

    async def lose_mirror(self, queue="default"):
        """One leads, then none."""
        journal, token = Journal(self.redis, self.keys(queue)), await self.token(queue)
        await journal.hold(token, OWNER, 10_000, Sightings())
        await journal.release(token, OWNER)

    async def run_one(self, queue="default", *, state=TaskState.SUCCEEDED, result=b'{"ok":true}'):
        """Take the next task and record its outcome, ledger first; its id."""
        delivery = Delivery(self.redis, self.keys(queue), dedup_ms=60_000)
        token = await self.token(queue)
        (entry,) = (await delivery.fetch(token, "w1", 1)).entries
        await self.record(entry.envelope, state=state, result=result)
        settle = Settle(entry.task_id, entry.lane, entry.entry_id, entry.run, state)
        await delivery.settle(token, [settle])
        return entry.task_id

    async def record(self, raw, *, state=TaskState.SUCCEEDED, result=b'{"ok":true}'):
        envelope, at = decode(raw), now_ms()
        attempt = AttemptRecord(envelope.run, 1, "w1", at - 5, at, "succeeded")
        part = FinishedPart(envelope.run, state, at, new_token(), 1, result, None)
        await self.ledger.finish(
            [
                Finish(
                    envelope.key,
                    envelope.request_digest,
                    raw,
                    part,
                    About.of(envelope),
                    attempt,
                )
            ]
        )
