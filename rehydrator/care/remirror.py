"""``remirror``: the quorum queue was lost or replaced; every open task gets a copy once more.

The journal is the way, so the mirror stays the only publisher: a task's mark is taken off with its
new journal entry and comes back with the confirm (rule 3). Where no mirror runs, this does.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, Final, TypeVar

from app.broker.intake import Intake
from app.broker.journal import Journal
from app.broker.recovery import Recovery
from app.broker.survey import START, Cursor, Survey
from app.errors import StaleGeneration, Unavailable
from app.lifecycle import cancel
from app.names import QueueName, new_token
from app.sessions import QueueSession
from app.settings import Settings
from mirror.mirror import QueueMirror, Servers
from mirror.publisher import open_publisher
from mirror.topology import Topology
from rehydrator.care.queues import queues_of
from rehydrator.reaching import reach
from rehydrator.redis_queue import Stores
from rehydrator.refreshing import order
from rehydrator.stores import open_stores

log = logging.getLogger(__name__)

T = TypeVar("T")

AHEAD_MAX: Final = 5_000
"""Tasks journaled before their confirms: the journal must not double what Redis holds."""
MARKS: Final = 500
POLL_S: Final = 0.1
ROUNDS_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class RemirrorReport:
    """What became of open tasks, each counted once but in ``journaled``.

    ``seen``: open, and without a copy since the run began. ``journaled``: journal entries written.
    ``confirmed``: have their copy now. ``finished``: need none any more. ``problems`` say why some
    are left.
    """

    seen: int = 0
    journaled: int = 0
    confirmed: int = 0
    finished: int = 0
    problems: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """Those that still have no confirmed copy."""
        return self.seen - self.confirmed - self.finished

    @property
    def complete(self) -> bool:
        """Whether every open task has a copy."""
        return not self.problems and not self.left

    def plus(self, other: "RemirrorReport") -> "RemirrorReport":
        """Of several queues."""
        return RemirrorReport(
            seen=self.seen + other.seen,
            journaled=self.journaled + other.journaled,
            confirmed=self.confirmed + other.confirmed,
            finished=self.finished + other.finished,
            problems=self.problems + other.problems,
        )

    def document(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "state": "complete" if self.complete else "partial",
            "seen": self.seen,
            "journaled": self.journaled,
            "confirmed": self.confirmed,
            "finished": self.finished,
            "left": self.left,
            "problems": list(self.problems),
        }


Told = Callable[[RemirrorReport], None]


async def remirror(
    settings: Settings,
    told: Told,
    *,
    queue: str | None = None,
    tenant: str | None = None,
    within_s: float = 60.0,
) -> RemirrorReport:
    """Journal every open task again and wait for the confirms; safe to repeat.

    ``within_s``: give up after so long without progress.

    Raises:
        SettingsError: RabbitMQ or the ledger is not configured.
        UnknownQueue: there is no such queue.
        Fatal: a store is not the one it must be.
        Unavailable: a store cannot be reached.
    """
    async with AsyncExitStack() as closing:
        stores, topology = open_stores(settings, closing, process="remirror")
        await reach(within_s, stores.ledger.open, stores.redis.ping, topology.declare)
        servers = _servers(stores, topology, closing)
        done = RemirrorReport()
        for name in await queues_of(stores.ledger, queue, tenant):
            before = done

            def tell(now: RemirrorReport, before: RemirrorReport = before) -> None:
                told(before.plus(now))

            run = _QueueRemirror(servers, name, tell, within_s)
            done = done.plus(await run.run())
            told(done)
        return done


def _servers(stores: Stores, topology: Topology, closing: AsyncExitStack) -> Servers:
    publisher = open_publisher(stores.settings.mirror_publisher, stores.rabbitmq_url, "remirror")
    closing.push_async_callback(publisher.close)
    owner = f"{socket.gethostname()}-{os.getpid()}-{new_token()[:8]}"
    return Servers(
        stores.settings, stores.redis, stores.ledger, publisher, topology, stores.metrics, owner
    )


class _Stalled(Exception):
    """No progress for too long; the sentence says of what."""


class _QueueRemirror:
    """The run over one queue of one tenant."""

    def __init__(self, servers: Servers, name: QueueName, told: Told, within_s: float) -> None:
        settings = servers.settings
        self._servers = servers
        self._name = name
        self._told = told
        self._within_s = within_s
        self._session = QueueSession(
            servers.redis, servers.ledger, settings.env, name, adopt=settings.adopt_ledger
        )
        keys = self._session.keys
        self._survey = Survey(servers.redis, keys)
        self._journal = Journal(servers.redis, keys)
        self._recovery = Recovery(servers.redis, keys)
        self._intake = Intake(servers.redis, keys, queue_max=0, unmirrored_max=0)
        self._report = RemirrorReport()
        self._awaited: dict[str, tuple[str, int]] = {}
        self._doubtful: dict[str, int] = {}
        self._mirror: asyncio.Task[None] | None = None
        self._moved_s = time.monotonic()

    async def run(self) -> RemirrorReport:
        """From the declared queue to the last confirm.

        Raises:
            Fatal: a store is not the one it must be.
        """
        try:
            await self._insist(lambda: self._servers.topology.declare(self._name.queue))
            # It waits for the lease for as long as another mirror lives.
            mirror = QueueMirror(self._servers, self._name)
            self._mirror = asyncio.create_task(mirror.run(), name="remirror")
            while not await self._run_in_one_generation():
                log.warning("Redis has another history of %s: starting over.", self._name.queue)
        except _Stalled as stalled:
            self._report = replace(self._report, problems=(str(stalled),))
        finally:
            if self._mirror is not None:
                await cancel(self._mirror)
        return self._report

    async def _run_in_one_generation(self) -> bool:
        self._report = RemirrorReport()
        self._awaited, self._doubtful = {}, {}
        try:
            token = await self._insist(self._session.token)
            since = await self._drain(token)
            for number in range(ROUNDS_MAX):
                # Another round, for what moved from one place to another while it was looked for.
                if not await self._round(token, since, first=number == 0):
                    break
            await self._settle_doubts(token)
        except StaleGeneration:
            self._session.forget()
            return False
        return True

    async def _drain(self, token: str) -> str:
        """Wait for what is in the journal now; the last id that was ever in it.

        Some of it may have been confirmed by the queue that is gone, and not been trimmed yet.
        """
        _, since = await self._insist(lambda: self._journal.read(token, None, 1))
        while True:
            entries, _ = await self._insist(lambda: self._journal.read(token, None, 1))
            if not entries or order(entries[0].journal_id) > order(since):
                return since
            await self._pause()

    async def _round(self, token: str, since: str, *, first: bool) -> bool:
        """One walk over everything open; whether something was journaled."""
        before = self._report.journaled
        cursor: Cursor | None = START
        while cursor is not None:
            ids, cursor = await self._insist(partial(self._survey.walk, token, cursor))
            await self._rejournal(token, since, list(dict.fromkeys(ids)), first=first)
            while len(self._awaited) >= AHEAD_MAX:
                await self._confirm(token)
        while self._awaited:
            await self._confirm(token)
        return self._report.journaled > before

    async def _rejournal(self, token: str, since: str, ids: Sequence[str], *, first: bool) -> None:
        if not ids:
            return
        answers = await self._insist(lambda: self._survey.rejournal(token, ids, since=since))
        seen = journaled = 0
        for task_id, answer in zip(ids, answers, strict=True):
            journaled += answer.outcome == "journaled"
            # What producers add meanwhile is the mirror's daily work.
            if answer.outcome == "journaled" or (first and answer.outcome == "waiting"):
                known = self._doubtful.pop(task_id, None) is not None
                known |= answer.journal_id in self._awaited
                seen += not known
                self._awaited[answer.journal_id] = (task_id, answer.run)
        if journaled:
            self._moved_s = time.monotonic()
        self._count(seen=seen, journaled=journaled)

    async def _confirm(self, token: str) -> None:
        """Take out of the awaited what the watermark has passed; pause where it is nothing."""
        reached = await self._insist(self._recovery.watermark)
        passed = []
        if reached is not None and reached[0] == token:
            mark = order(reached[1])
            # Nearly in the order of their ids: what stands behind a later one waits with it.
            passed = list(takewhile(lambda jid: order(jid) <= mark, self._awaited))
        if not passed:
            # The watermark is read without the token: it may be another history's.
            await self._insist(partial(self._recovery.inspect, token, []))
            await self._pause()
            return
        self._moved_s = time.monotonic()
        for start in range(0, len(passed), MARKS):
            part = [self._awaited[jid] for jid in passed[start : start + MARKS]]
            self._doubtful |= dict(await self._unmarked(token, part))
        for jid in passed:
            del self._awaited[jid]

    async def _settle_doubts(self, token: str) -> None:
        """Look once more at what the watermark passed without a mark: another entry may have it."""
        doubts = list(self._doubtful.items())
        self._doubtful = {}
        for start in range(0, len(doubts), MARKS):
            self._doubtful |= dict(await self._unmarked(token, doubts[start : start + MARKS]))
        if self._doubtful:
            raise _Stalled(
                f"{len(self._doubtful)} tasks of queue {self._name.queue} were journaled and got no"
                f" copy, among them {min(self._doubtful)}: look into the quarantine."
            )

    async def _unmarked(
        self, token: str, tasks: Sequence[tuple[str, int]]
    ) -> Sequence[tuple[str, int]]:
        """Count those that have their mark, or are gone; the others."""
        marks = await self._insist(lambda: self._intake.mirrored(token, tasks))
        self._count(confirmed=marks.count(True), finished=marks.count(None))
        return [task for task, mark in zip(tasks, marks, strict=True) if mark is False]

    def _count(
        self, *, seen: int = 0, journaled: int = 0, confirmed: int = 0, finished: int = 0
    ) -> None:
        self._report = self._report.plus(RemirrorReport(seen, journaled, confirmed, finished))
        self._told(self._report)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call while its store is away.

        Raises:
            StaleGeneration: Redis has another history.
            _Stalled: it was away for too long.
        """
        while True:
            try:
                return await call()
            except StaleGeneration:
                raise
            except Unavailable as error:
                await self._pause(f"{error}.")

    async def _pause(self, because: str = "") -> None:
        if self._mirror is not None and self._mirror.done():
            # Its Fatal sentence.
            self._mirror.result()
        if time.monotonic() - self._moved_s > self._within_s:
            why = because or "RabbitMQ confirms no copies: has it an alarm?"
            raise _Stalled(
                f"Queue {self._name.queue} was given up after {self._within_s:.0f} s without"
                f" progress. {why} Run this again when that is mended."
            )
        await asyncio.sleep(POLL_S)
