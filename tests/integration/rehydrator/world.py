"""A queue in Redis, its copies in RabbitMQ and its ledger, and the actors around a rehydrator."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager

from aio_pika.exceptions import ChannelNotFoundEntity

from app.amqp.connection import close_connection, open_channel, open_connection
from app.amqp.message import Origin, copy_publication, fence_publication
from app.amqp.topology import QUARANTINE, mirror_queue
from app.broker.generation import attach, load_paused
from app.envelope import decode, encode
from app.errors import Unavailable
from app.ledger.opening import ledger_of
from app.ledger.records import About, Finish, FinishedPart, OpenPart, OpenWrite
from app.lifecycle import cancel, wait_for
from app.names import QueueName, new_token
from app.settings import Settings
from mirror.publisher import PublishOutcome, open_publisher
from mirror.topology import Topology
from rehydrator.service import Pace, QueueService
from rehydrator.stores import open_stores
from tests.support.broker import Broker, connect, settle_unseen
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually

FAST = Pace(sweep_s=0.05, share=1, ask_all_s=0.3, check_s=0.1, retry_s=0.1, lease_s=0.1)


class RedisSide(Broker):
    """Attaches without a word about the ledger, so that the rehydrator's own is taken."""

    async def attach(self, *, paused=False):
        generation = await attach(self.redis, self.keys)
        if generation.paused is None:
            await load_paused(self.redis, self.keys, generation.token, paused=paused)
        self.token = generation.token
        return self.token


class World:
    """``settings`` are those of the rehydrator under test."""

    def __init__(self, env, redis_url, rabbitmq_url, **settings):
        self.settings = Settings(
            env=env,
            tenant=TENANT,
            redis_url=redis_url,
            rabbitmq_url=rabbitmq_url,
            rehydrator_port=0,
            **{
                "store_timeout_ms": 1_500,
                "rehydrator_lease_ms": 1_500,
                "rehydrator_window": 1_000,
            }
            | settings,
        )
        self.rabbitmq_url = rabbitmq_url
        # What the test itself does has time: its deadlines are not what is tested.
        self.ledger = ledger_of(self.settings.model_copy(update={"store_timeout_ms": 20_000}))
        self.redis = connect(redis_url)
        self.broker = RedisSide(self.redis, env, queue_max=50_000, unmirrored_max=50_000)
        self.name = self.broker.keys.name

    async def __aenter__(self):
        await self.ledger.open()
        await self.broker.attach()
        topology = Topology(self.rabbitmq_url, self.settings.env, None)
        await topology.declare(QUEUE)
        await topology.close()
        self.publisher = open_publisher("batched", self.rabbitmq_url, "test-mirror")
        self.connection = await open_connection(self.rabbitmq_url, "test")
        return self

    async def __aexit__(self, *_error):
        await close_connection(self.connection)
        await self.publisher.close()
        await self.redis.close()
        await self.ledger.close()

    def origin(self, **changes):
        return Origin(self.settings.env, self.ledger.identity)._replace(**changes)

    async def reattach(self):
        """Connect to a Redis that was started again."""
        await self.redis.redis.connection_pool.disconnect()
        await eventually(self._attached)

    async def _attached(self):
        try:
            return await self.broker.attach()
        except Unavailable:
            return None

    # --- producers and the mirror

    async def accept(self, *envelopes):
        """Accepted in Redis and mirrored: as the API and the mirror do it."""
        await self.broker.submit(*envelopes)
        await self.mirror()

    async def mirror(self):
        """Publish what the journal holds, with confirms, and trim it."""
        entries, _ = await self.broker.journal.read(self.broker.token, None, 50_000)
        if not entries:
            return 0
        await self.publish(
            *[
                copy_publication(
                    decode(entry.envelope),
                    self.origin(generation=self.broker.token, journal_id=entry.journal_id),
                    7,
                )
                for entry in entries
            ]
        )
        await self.broker.journal.trim(self.broker.token, entries)
        return len(entries)

    async def mirrored(self):
        """Whether the journal's copies were all taken by the broker now."""
        try:
            await self.mirror()
        except AssertionError:
            return False
        return True

    async def publish(self, *publications):
        outcomes = await self.publisher.publish(publications, 20_000)
        assert set(outcomes) == {PublishOutcome.CONFIRMED}

    async def copy(self, *envelopes, **origin):
        """Copies of tasks Redis has not seen, as the API publishes them while Redis is away."""
        await self.publish(
            *[copy_publication(each, self.origin(**origin), 7) for each in envelopes]
        )

    async def mark(self, run_id="somebody-elses"):
        await self.publish(fence_publication(QUEUE, run_id, 7))

    # --- workers and the ledger

    async def record(self, each, state="succeeded", *, run=None, digest=None):
        """The outcome is in the ledger, and nowhere else."""
        part = FinishedPart(run or each.run, state, 4_000_000_000_000, new_token(), 1, None, None)
        write = Finish(each.key, digest or each.request_digest, each.raw, part, About.of(each))
        (result,) = await self.ledger.finish([write])
        assert result.won

    async def record_open(self, each, *, attempt, phase, due_ms=0):
        part = OpenPart(each.run, attempt, phase, due_ms, lost=0, by=new_token())
        write = OpenWrite(each.key, each.request_digest, part)
        assert await self.ledger.record_open([write]) == [True]

    async def finish(self, each, state="succeeded"):
        """Recorded, then settled in Redis, as a worker does it."""
        await self.record(each, state)
        await self.broker.settle(settle_unseen(each.task_id, each.run))

    @contextmanager
    def locked_ledger(self):
        """Nobody gets at the (SQLite) ledger."""
        with closing(sqlite3.connect(self.settings.sqlite_path, isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            yield
            db.execute("ROLLBACK")

    # --- what is there

    async def ready(self, queue=None):
        """Messages nobody holds; None: no such queue."""
        try:
            async with open_channel(self.connection) as channel:
                found = await channel.get_queue(queue or mirror_queue(QUEUE), ensure=True)
        except ChannelNotFoundEntity:
            return None
        return found.declaration_result.message_count

    async def quarantined(self):
        """{task id: reason} of the records, and how many messages lie there."""
        records = await self.ledger.quarantined(100)
        return {each.task_id: each.reason for each in records}, await self.ready(QUARANTINE)

    async def is_ready(self, n, queue=None):
        return await self.ready(queue) == n

    async def pending(self):
        return await self.broker.raw.hget(self.broker.keys.generation, "pending") == b"1"

    async def at_rest(self):
        """The generation is complete: no fence is under way."""
        await eventually(self._complete, 60)

    async def _complete(self):
        return not await self.pending()

    # --- the rehydrator

    @asynccontextmanager
    async def service(self, *, pace=FAST, rabbitmq_url=None, **settings):
        """A service in this process, found by the queues the ledger names."""
        changes = {"rabbitmq_url": rabbitmq_url or self.rabbitmq_url, **settings}
        async with AsyncExitStack() as stack:
            stores, topology = open_stores(
                self.settings.model_copy(update=changes), stack, process="rehydrator"
            )
            await wait_for("the ledger", stores.ledger.open)
            service = Running(QueueService(stores, topology, QUEUE, pace), stores.metrics)
            service.service.meet(self.name)
            try:
                yield service
            finally:
                await cancel(service.task)


class Running:
    """A service at work."""

    def __init__(self, service, metrics):
        self.service = service
        self.metrics = metrics
        self.task = asyncio.create_task(service.run())

    def count(self, outcome):
        """Copies it noted with this outcome, over all tenants."""
        return sum(
            sample.value
            for family in self.metrics.rehydrate_tasks.collect()
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels["outcome"] == outcome
        )

    def total(self, counter):
        return sum(
            sample.value
            for family in counter.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        )

    async def noted(self, within_s=60, **outcomes):
        """Wait until at least so many copies were noted with each outcome."""

        def enough():
            assert not self.task.done(), self.task
            return all(self.count(name) >= n for name, n in outcomes.items())

        await eventually(enough, within_s)


def of_tenant(tenant, task_id, *, accepted_at_ms=1_700_000_000_123):
    """A task of another tenant of the same queue."""
    return encode(
        key=QueueName(tenant, QUEUE).task(task_id),
        type="mail.send",
        payload={},
        context={},
        options={},
        run=1,
        digest="cd" * 32,
        accepted_at_ms=accepted_at_ms,
    )


def many(n, first=0, **options):
    return [envelope(f"task-{i}", **options) for i in range(first, first + n)]
