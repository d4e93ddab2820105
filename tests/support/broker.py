"""One queue in Redis with the verbs of every actor, and what time and faults do to it."""

from app.broker.connection import RedisConnection
from app.broker.delivery import Delivery, Settle, Start
from app.broker.generation import attach, load_paused
from app.broker.intake import Intake, Submission
from app.broker.journal import Journal
from app.broker.keys import QueueKeys
from app.broker.recovery import Recovery, Refresh, Restore
from app.envelope import decode
from app.errors import Unavailable
from app.names import QueueName, new_token
from app.state import TaskState
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually

DEDUP_MS = 3_600_000
FRESH_DEDUP_MS = 60_000
FAR_MS = 4_000_000_000_000
"""A due time that does not come."""


def connect(url, *, timeout_ms=5_000, connect_timeout_ms=1_000):
    return RedisConnection(url, connect_timeout_ms=connect_timeout_ms, timeout_ms=timeout_ms)


async def answering(connection):
    """Wait until the connection takes calls again."""

    async def answers():
        try:
            await connection.ping()
        except Unavailable:
            return False
        return True

    await eventually(answers)


def start_of(entry, **changes):
    """A wish to start ``entry`` as a worker has it that did not ask the ledger."""
    wish = {
        "nonce": new_token(),
        "asked": False,
        "ledger_attempt": 0,
        "ledger_due_ms": 0,
        "attempts_max": 3,
        "expires_at_ms": 0,
        "request_digest": decode(entry.envelope).request_digest,
    }
    return Start(entry, **{**wish, **changes})


def settle_of(entry, state=TaskState.SUCCEEDED):
    return Settle(entry.task_id, entry.lane, entry.entry_id, entry.run, state)


def settle_unseen(task_id, run=1, state=TaskState.SUCCEEDED):
    """To settle whatever place the task's hash names, as one who owns no entry."""
    return Settle(task_id, 0, "", run, state)


class Broker:
    """The verbs of intake, delivery, journal and recovery on one queue of one namespace."""

    def __init__(self, redis, env, *, queue_max=1_000, unmirrored_max=1_000):
        self.redis = redis
        self.raw = redis.redis
        self.env = env
        self.keys = QueueKeys(env, QueueName(TENANT, QUEUE))
        self.intake = Intake(redis, self.keys, queue_max=queue_max, unmirrored_max=unmirrored_max)
        self.delivery = Delivery(redis, self.keys, dedup_ms=DEDUP_MS, fresh_dedup_ms=FRESH_DEDUP_MS)
        self.journal = Journal(redis, self.keys)
        self.recovery = Recovery(redis, self.keys)
        self.token = ""

    async def attach(self, *, paused=False):
        """Learn the generation in force; returns its token."""
        generation = await attach(self.redis, self.keys, "ledger-1")
        if generation.paused is None:
            await load_paused(self.redis, self.keys, generation.token, paused=paused)
        self.token = generation.token
        return self.token

    async def submit(self, *envelopes, fresh=True):
        return await self.intake.enqueue(
            self.token, [Submission(each, fresh) for each in envelopes]
        )

    async def fetch(self, consumer="w1", count=10, **how):
        return (await self.delivery.fetch(self.token, consumer, count, **how)).entries

    async def fetch_one(self, consumer="w1", **how):
        (entry,) = await self.fetch(consumer, **how)
        return entry

    async def start(self, entry, consumer="w1", **changes):
        (verdict,) = await self.delivery.start(self.token, consumer, [start_of(entry, **changes)])
        return verdict

    async def running(self, task_id="a", consumer="w1", *, fresh=True, **options):
        """A task submitted, fetched and started; its entry."""
        await self.submit(envelope(task_id, **options), fresh=fresh)
        entry = await self.fetch_one(consumer)
        assert (await self.start(entry, consumer)).verdict == "run"
        return entry

    async def settle(self, *settles):
        await self.delivery.settle(self.token, settles)

    async def confirm(self, count=1_000):
        """The mirror reads the journal from its start and has it all confirmed; how many marked."""
        entries, _ = await self.journal.read(self.token, None, count)
        return await self.journal.trim(self.token, entries)

    async def restore(self, envelope, *, attempts_ended=0, due_ms=0):
        wish = Restore(envelope, attempts_ended, due_ms)
        (answer,) = await self.recovery.restore(self.token, [wish])
        return answer

    async def inspect(self, task_id="a"):
        (standing,) = await self.recovery.inspect(self.token, [task_id])
        return standing

    async def refresh(self, task_id="a", *, run=1, generation=None, journal_id="0-1"):
        copy = Refresh(task_id, run, generation or self.token, journal_id)
        (answer,) = await self.recovery.refresh(self.token, [copy])
        return answer

    async def task(self, task_id="a"):
        """The task's hash, decoded."""
        found = await self.raw.hgetall(self.keys.task(task_id))
        return {name.decode(): value.decode() for name, value in found.items()}

    async def state(self, task_id="a"):
        return (await self.task(task_id)).get("state")

    async def ready_ids(self):
        """Task ids in the ready streams, high priority first, handed out or not."""
        found = []
        for lane in self.keys.lanes:
            found += [fields[b"id"].decode() for _, fields in await self.raw.xrange(lane)]
        return found

    async def pending(self, lane=2):
        """{entry id: consumer} of one lane."""
        found = await self.raw.xpending_range(self.keys.lanes[lane - 1], "workers", "-", "+", 100)
        return {each["message_id"].decode(): each["consumer"].decode() for each in found}

    async def journal_ids(self):
        return [entry_id.decode() for entry_id, _ in await self.raw.xrange(self.keys.journal)]

    async def make_due(self, task_id="a"):
        """Time passes: the delayed task is due."""
        await self.raw.zadd(self.keys.delayed, {task_id: 1}, xx=True)

    async def lose_hash(self, task_id="a"):
        await self.raw.delete(self.keys.task(task_id))

    async def lose_lane(self, lane=2):
        await self.raw.delete(self.keys.lanes[lane - 1])

    async def lose_journal(self):
        """It goes; what is journaled from then on has another id, as the clock has moved on."""
        await self.raw.delete(self.keys.journal)
        lost_at_ms = await self._now_ms()

        async def is_later():
            return await self._now_ms() > lost_at_ms

        await eventually(is_later, every_s=0.001)

    async def _now_ms(self):
        seconds, microseconds = await self.raw.time()
        return seconds * 1_000 + microseconds // 1_000

    async def lose_everything(self):
        """This queue's keys go, as in a wipe; attaches to what is left."""
        names = [name async for name in self.raw.scan_iter(_literally(self.keys.prefix) + "*")]
        if names:
            await self.raw.delete(*names)
        return await self.attach()

    async def restart(self):
        """The data is there again, served by another run of the server; attaches anew."""
        await self.raw.hset(self.keys.generation, "run_id", "of-an-earlier-run")
        return await self.attach()

    async def snapshot(self):
        """Every key of the queue with its content, to tell that nothing changed."""
        names = sorted(
            [name async for name in self.raw.scan_iter(_literally(self.keys.prefix) + "*")]
        )
        return {name: await self.raw.dump(name) for name in names}


def _literally(pattern):
    return pattern.replace("[", "\\[")
