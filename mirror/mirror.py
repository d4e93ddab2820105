"""The mirror of one queue: what its journal holds, RabbitMQ gets, with a confirm.

Everything here may happen twice: two mirrors at once, a publish without an answer, a trim whose
reply was lost. It costs duplicate copies and nothing else.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from app.amqp.copies import CopyMaker, Heading
from app.amqp.message import Publication
from app.broker.connection import RedisConnection
from app.broker.journal import Journal
from app.clock import monotonic_ms, now_ms
from app.crashing import NOWHERE, CrashPoints
from app.errors import StaleGeneration, Unavailable
from app.ledger.ledger import Ledger
from app.lifecycle import cancel
from app.metrics import Metrics
from app.names import QueueName
from app.sessions import QueueSession
from app.settings import Settings
from mirror.copies import hold, quarantine_record
from mirror.gauges import QueueGauges
from mirror.lease import JournalLease, LeaseLost, Sight
from mirror.publisher import Publisher, PublishOutcome
from mirror.slicing import Slicer
from mirror.term import JournalLost, Term
from mirror.topology import Topology
from mirror.window import Held

log = logging.getLogger(__name__)

BATCH: Final = 200
"""Entries of one publish: large enough for one write, small enough for several in flight."""
BATCHES_IN_FLIGHT: Final = 16
TRIM_MOST: Final = 2_000
"""Entries of one trim: Redis does nothing else meanwhile."""
WAIT_MS: Final = 1_000
RETRY_S: Final = 0.25
BROKER_LOOK_S: Final = 0.05
LEAVE_WITHIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Servers:
    """What all mirrors of one process share."""

    settings: Settings
    redis: RedisConnection
    ledger: Ledger
    publisher: Publisher
    topology: Topology
    metrics: Metrics
    owner: str
    """This process's name in leases."""
    crashes: CrashPoints = NOWHERE


class QueueMirror:
    """Keeps one queue's journal whenever it can get the lease."""

    def __init__(self, servers: Servers, name: QueueName) -> None:
        settings = servers.settings
        self.name = name
        self._settings = settings
        self._ledger = servers.ledger
        self._publisher = servers.publisher
        self._topology = servers.topology
        self._crashes = servers.crashes
        self._session = QueueSession(
            servers.redis, servers.ledger, settings.env, name, adopt=settings.adopt_ledger
        )
        self._journal = Journal(servers.redis, self._session.keys)
        self._slicer = Slicer(name)
        # Blocked reads have a connection of their own: idle queues must not use up the pool.
        self._idle_redis = RedisConnection.from_settings(settings)
        self._idle_journal = Journal(self._idle_redis, self._session.keys)
        self._sight = Sight(servers.metrics, name)
        self._lease = JournalLease(
            self._journal,
            servers.publisher,
            self._sight,
            owner=servers.owner,
            lease_ms=settings.mirror_lease_ms,
        )
        self._gauges = QueueGauges(
            servers.redis,
            servers.ledger,
            servers.metrics,
            self._session.keys,
            stale_after_ms=settings.mirror_lease_ms,
        )
        self._generation_changes = servers.metrics.generation_changes.labels(
            name.tenant, name.queue
        )
        self._declared = False
        self._publishing: set[asyncio.Task[None]] = set()
        self._recording: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Mirror until cancelled; then finish what is in flight and free the lease.

        Raises:
            Fatal: the process must stop.
        """
        try:
            while True:
                await self._serve_term()
        finally:
            await cancel(*self._publishing, *self._recording)
            await self._idle_redis.close()

    async def _serve_term(self) -> None:
        try:
            token = await self._session.token()
            await self._lease.acquire(token)
            self._crashes.reach("mirror.after_lease")
            await self._lead(Term(token, self._settings.mirror_window))
        except StaleGeneration:
            self._session.forget()
        except LeaseLost:
            log.warning("Another mirror keeps the journal of %s now.", self._said)
        except JournalLost:
            log.warning("The journal of %s was lost; reading it from its start.", self._said)
        except Unavailable as error:
            log.debug("Cannot mirror %s now: %s", self._said, error)
            await asyncio.sleep(RETRY_S)

    async def _lead(self, term: Term) -> None:
        log.info("Keeping the journal of %s.", self._said)
        loops = [
            asyncio.create_task(each)
            for each in (
                self._lease.keep(term.token),
                self._read(term),
                self._publish(term),
                self._trim(term),
                self._gauges.export(term.token, lambda: self._lease.takes_no_copies),
            )
        ]
        try:
            await asyncio.wait([*loops, term.broken], return_when=asyncio.FIRST_COMPLETED)
            ended = [each for each in (*loops, term.broken) if each.done()]
        except asyncio.CancelledError:
            await cancel(*loops)
            await self._leave(term)
            raise
        finally:
            await cancel(*loops)
        self._raise_end(ended)

    def _raise_end(self, ended: Sequence[asyncio.Future[None]]) -> None:
        for each in ended:
            if each.cancelled():
                raise RuntimeError(f"A loop of the mirror of {self._said} was cancelled: {each!r}")
            if isinstance(error := each.exception(), StaleGeneration):
                self._generation_changes.inc()
                log.warning("Redis has another history of %s now; starting over.", self._said)
            if error is not None:
                raise error

    async def _read(self, term: Term) -> None:
        """Fill the window from the journal; wait for more when there is none."""
        wait_ms = min(WAIT_MS, self._settings.store_timeout_ms // 2)
        while True:
            count = min(term.window.room, term.read_size.count)
            if not count:
                term.room.clear()
                await term.room.wait()
                continue
            try:
                entries, last = await self._journal.read(term.token, term.cursor, count)
                term.advance(entries, last)
                term.read_size.seen(entries)
                if entries:
                    self._crashes.reach("mirror.after_read")
                    term.window.add([hold(entry, self.name, self._slicer) for entry in entries])
                    term.waiting.set()
                if len(entries) < count:
                    await self._idle_journal.wait(last, wait_ms)
            except StaleGeneration:
                raise
            except Unavailable:
                term.read_size.failed()
                await asyncio.sleep(RETRY_S)

    async def _publish(self, term: Term) -> None:
        """Publish what waits, several batches in flight, in journal order while nothing fails."""
        # Also without a task: a queue with other arguments must stop the process at once.
        await self._until_broker_takes(term)
        while True:
            if not term.window.waiting:
                term.waiting.clear()
                await term.waiting.wait()
            await self._until_broker_takes(term)
            if len(self._publishing) >= BATCHES_IN_FLIGHT:
                await asyncio.wait(self._publishing, return_when=asyncio.FIRST_COMPLETED)
                continue
            taken = term.window.take(BATCH)
            if batch := [held for held in taken if isinstance(held.heading, Heading)]:
                self._spawn(term, self._publishing, self._send(term, batch))
            for held in taken:
                if isinstance(held.heading, Exception):
                    self._spawn(term, self._recording, self._quarantine(term, held, held.heading))

    def _spawn(
        self, term: Term, group: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]
    ) -> None:
        task = asyncio.create_task(work)
        group.add(task)
        task.add_done_callback(group.discard)
        term.watch(task)

    async def _until_broker_takes(self, term: Term) -> None:
        while True:
            if wait_ms := term.backoff.remaining_ms(monotonic_ms()):
                await asyncio.sleep(wait_ms / 1000)
            elif self._lease.takes_no_copies:
                # What is not written waits in the journal, and keeps its order.
                await asyncio.sleep(BROKER_LOOK_S)
            elif self._declared:
                return
            else:
                await self._declare(term)

    async def _declare(self, term: Term) -> None:
        try:
            await self._topology.declare(self.name.queue)
        except Unavailable as error:
            log.warning("Cannot declare the queue of %s now: %s", self._said, error)
            term.backoff.failed(monotonic_ms(), random.uniform(-1, 1))
        else:
            self._crashes.reach("mirror.after_declare")
            self._declared = True

    async def _send(self, term: Term, batch: list[Held]) -> None:
        outcomes = await self._publisher.publish(
            self._publications(term, batch), self._settings.store_timeout_ms
        )
        confirmed = [each is PublishOutcome.CONFIRMED for each in outcomes]
        if any(confirmed):
            self._crashes.reach("mirror.after_confirm")
        term.window.settle(batch, confirmed)
        term.settled.set()
        if all(confirmed):
            self._sight.note(PublishOutcome.CONFIRMED, len(batch))
            term.backoff.succeeded()
            return
        counts = Counter(outcomes)
        for outcome, times in counts.items():
            self._sight.note(outcome, times)
        term.backoff.failed(monotonic_ms(), random.uniform(-1, 1))
        if counts[PublishOutcome.RETURNED] or counts[PublishOutcome.UNKNOWN]:
            # The queue, its binding or the whole vhost may be gone: found out by declaring them.
            self._declared = False
        term.waiting.set()

    def _publications(self, term: Term, batch: list[Held]) -> list[Publication]:
        maker = CopyMaker(
            self.name,
            env=self._settings.env,
            ledger=self._ledger.identity,
            generation=term.token,
        )
        now_s = now_ms() // 1000
        return [
            maker.publication(held.entry.envelope, held.heading, held.entry.journal_id, now_s)
            for held in batch
            if isinstance(held.heading, Heading)
        ]

    async def _quarantine(self, term: Term, held: Held, error: Exception) -> None:
        """Put an entry that is no envelope before a person, then let the journal go on.

        Its task keeps its place in Redis, where the worker finds the same bytes and cannot run them
        either. It is not marked as mirrored, for RabbitMQ has no copy: the trim gets no task id to
        find its hash by. What was in the journal is in the ledger from here on.
        """
        entry = held.entry
        record = quarantine_record(entry, error, self.name, term.token)
        while True:
            try:
                await self._ledger.put_quarantine(record)
                break
            except Unavailable:
                await asyncio.sleep(RETRY_S)
        self._crashes.reach("mirror.after_record")
        log.error("Journal entry %s of %s: %s", entry.journal_id, self._said, error)
        self._sight.note_quarantined()
        held.entry = entry._replace(task_id="")
        term.window.settle([held], [True])
        term.settled.set()

    async def _trim(self, term: Term) -> None:
        """Take the longest confirmed prefix off the journal, whenever there is one."""
        while True:
            term.settled.clear()
            try:
                await self._trim_prefix(term)
            except StaleGeneration:
                raise
            except Unavailable:
                await asyncio.sleep(RETRY_S)
                continue
            await term.settled.wait()

    async def _trim_prefix(self, term: Term) -> None:
        while prefix := term.window.prefix(TRIM_MOST):
            await self._journal.trim(term.token, prefix)
            self._crashes.reach("mirror.after_trim")
            term.window.drop(len(prefix))
            term.room.set()

    async def _leave(self, term: Term) -> None:
        """Let what is in flight be confirmed, trim it, free the lease; all of it may fail."""
        if self._publishing and not self._lease.takes_no_copies:
            await asyncio.wait(self._publishing, timeout=LEAVE_WITHIN_S)
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN_S):
                try:
                    await self._trim_prefix(term)
                finally:
                    self._crashes.reach("mirror.before_release")
                    await self._lease.give_back(term.token)

    @property
    def _said(self) -> str:
        return f"{self.name.tenant}/{self.name.queue}"
