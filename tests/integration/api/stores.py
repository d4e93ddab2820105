"""The stores behind the API, and what a mirror and a worker do with them."""

from app.broker.delivery import Delivery, Settle
from app.broker.generation import attach, complete
from app.broker.intake import Intake
from app.broker.journal import Journal, Sightings
from app.broker.keys import QueueKeys
from app.broker.recovery import Recovery
from app.clock import now_ms
from app.envelope import decode
from app.ledger.records import About, AttemptRecord, ErrorInfo, Finish, FinishedPart
from app.names import QueueName, new_token
from app.state import TaskState
from tests.support.broker import start_of

OWNER = "test-mirror"
ERROR = ErrorInfo("ValueError", "No.", retryable=False)


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

    async def start_one(self, queue="default"):
        """Take the next task and start its attempt; its entry and the verdict."""
        delivery, token = self.delivery(queue), await self.token(queue)
        entries = (await delivery.fetch(token, "w1", 1)).entries
        if not entries:
            return None, "nothing"
        return entries[0], (await self.start(entries[0], queue)).verdict

    async def start(self, entry, queue="default"):
        token = await self.token(queue)
        (started,) = await self.delivery(queue).start(token, "w1", [start_of(entry, asked=True)])
        return started

    def intake(self, queue="default"):
        return Intake(self.redis, self.keys(queue), queue_max=1_000, unmirrored_max=1_000)

    def recovery(self, queue="default"):
        return Recovery(self.redis, self.keys(queue))

    def delivery(self, queue="default"):
        return Delivery(self.redis, self.keys(queue), dedup_ms=60_000)

    async def park(self, task_id, *, queue="default", state=TaskState.DEAD, error=ERROR):
        """Take the next task, which must be ``task_id``, and park it."""
        assert await self.run_one(queue, state=state, result=None, error=error) == task_id

    async def run_one(
        self, queue="default", *, state=TaskState.SUCCEEDED, result=b'{"ok":true}', error=None
    ):
        """Take the next task and record its outcome, ledger first; its id."""
        delivery = self.delivery(queue)
        token = await self.token(queue)
        (entry,) = (await delivery.fetch(token, "w1", 1)).entries
        await self.record(entry.envelope, state=state, result=result, error=error)
        settle = Settle(entry.task_id, entry.lane, entry.entry_id, entry.run, state)
        await delivery.settle(token, [settle])
        return entry.task_id

    async def record(self, raw, *, state=TaskState.SUCCEEDED, result=b'{"ok":true}', error=None):
        envelope, at = decode(raw), now_ms()
        attempt = AttemptRecord(envelope.run, 1, "w1", at - 5, at, "succeeded")
        part = FinishedPart(envelope.run, state, at, new_token(), 1, result, error)
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
