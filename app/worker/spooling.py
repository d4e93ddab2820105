"""Between settler and spool: what is put aside while the ledger is away, and its way back.

A claim whose outcome lies in the spool holds no slot; its lease goes on being renewed, and Redis is
told only when the ledger has the outcome. What the spool holds goes to the ledger whatever became
of its claim: it happened, the first outcome of a run wins, and an attempt that somebody overtook
changes nothing.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from app.errors import Fatal, Unavailable
from app.ledger.ledger import Ledger
from app.ledger.records import Finish, FinishResult, OpenWrite, Standing
from app.names import QueueName, TaskKey
from app.settings import MIB
from app.worker.claim import Claim, Phase
from app.worker.counting import Counting
from app.worker.slots import Slots
from app.worker.spool import Spool, Spooled
from app.worker.spool_format import Write, nonce_of
from app.worker.stage import Stage

log = logging.getLogger(__name__)

BATCH_MAX: Final = 500
LANES: Final = 2
READ_BYTES: Final = 4 * MIB
IN_HAND_BYTES_MAX: Final = 16 * MIB
IN_HAND_MAX: Final = 2_000
ADOPTIONS_A_LEASE: Final = 4
"""So that a dead worker's outcomes are here before its tasks can be reclaimed."""


class Recorded(Protocol):
    """Who is told what the ledger has got of this worker's own claims."""

    def finished(self, claim: Claim, result: FinishResult) -> None:
        """A run is over."""

    async def opened(
        self, claims: Sequence[Claim], writes: Sequence[OpenWrite], in_force: Sequence[bool]
    ) -> None:
        """Failed attempts are recorded, or somebody was ahead."""


class Spooling:
    """Puts outcomes aside and drains them, oldest first, in batches."""

    def __init__(
        self, ledger: Ledger, spool: Spool, slots: Slots, counting: Counting, *, lease_ms: int
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._slots = slots
        self._counting = counting
        self._adopt_every_s = lease_ms / ADOPTIONS_A_LEASE / 1000
        self._told: Recorded | None = None
        self._claims: dict[str, Claim] = {}
        self._away = False
        self._in_hand = 0
        self._in_hand_bytes = 0
        self._more = asyncio.Event()
        self._stage = Stage("The spool", self._write, items_max=BATCH_MAX, lanes=LANES)

    @property
    def count(self) -> int:
        """How many outcomes wait for the ledger."""
        return self._spool.count

    @property
    def is_needed(self) -> bool:
        """Whether the ledger is known to be away: draining says when it is back."""
        return self._away and self.count > 0

    def tell(self, told: Recorded) -> None:
        """Say to whom the ledger's answers go."""
        self._told = told

    async def check(self) -> None:
        """For ``/readyz``.

        Raises:
            Unavailable: outcomes wait here; says how many.
        """
        if self.count:
            raise Unavailable("ledger", f"{self.count} outcomes wait in {self._spool.folder}")

    async def open(self) -> None:
        """Make the folder, and take over what dead workers left."""
        await self._spool.open()
        await self._spool.adopt()

    async def run(self) -> None:
        """Drain and adopt until cancelled.

        Raises:
            Fatal: the disk does not give back what was written.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stage.run())
                group.create_task(self._feed())
                group.create_task(self._adopt())
        except* Fatal as failed:
            error = failed.exceptions[0]
            raise Fatal(str(error)) from error

    def close(self) -> None:
        """Let go of the files; what waits is the next worker's."""
        if self.count:
            log.warning(
                "%d outcomes stay in the spool at %s: the next worker that uses it writes them to"
                " the ledger.",
                self.count,
                self._spool.folder,
            )
        self._spool.close()

    async def ask(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Standing]:
        """The ledger's ``ask``, for tasks of which nothing waits here.

        Asked too early it would have a dead worker's tasks run again although they have ended.

        Raises:
            Unavailable: also while the outcome of one of them is not in the ledger yet.
        """
        if any(self._spool.holds(key) for key in keys):
            raise Unavailable("ledger", "outcomes of these tasks are still in the spool")
        return await self._ledger.ask(keys)

    async def put_aside(
        self, claims: Sequence[Claim], writes: Sequence[Write], because: str
    ) -> list[Claim]:
        """Spool outcomes; the claims of those that must stay in memory.

        Raises:
            Unavailable: none could be spooled.
        """
        # Before they are readable: draining may be quicker than this very call.
        self._claims |= {
            nonce_of(write): claim for claim, write in zip(claims, writes, strict=True)
        }
        kept = await self._spool.put(writes)
        if kept and not self._away:
            self._away = True
            log.warning(
                "The ledger gives no answer (%s): outcomes go to the spool at %s until it is back.",
                because,
                self._spool.folder,
            )
        for claim, write in zip(claims[:kept], writes[:kept], strict=True):
            if nonce_of(write) in self._claims:
                claim.enter(Phase.SPOOLED)
                if isinstance(write, Finish):
                    claim.shed()
        for write in writes[kept:]:
            self._claims.pop(nonce_of(write), None)
        self._slots.halt(self._spool.full)
        self._more.set()
        if claims and not kept:
            raise Unavailable("ledger", because)
        return list(claims[kept:])

    async def _adopt(self) -> None:
        while True:
            await asyncio.sleep(self._adopt_every_s)
            if await self._spool.adopt():
                self._more.set()

    async def _feed(self) -> None:
        self._more.set()
        while True:
            await self._more.wait()
            self._more.clear()
            if self._in_hand >= IN_HAND_MAX or self._in_hand_bytes >= IN_HAND_BYTES_MAX:
                continue
            batch = await self._spool.take(READ_BYTES)
            for each in batch:
                self._in_hand += 1
                self._in_hand_bytes += each.bytes
                self._stage.put(each)
            if batch:
                self._more.set()

    async def _write(self, batch: list[Spooled]) -> list[Spooled]:
        try:
            await self._finish([each for each in batch if not each.written])
            await self._open([each for each in batch if not each.written])
        except Unavailable:
            self._away = True
            raise
        await self._spool.forget(batch)
        self._in_hand -= len(batch)
        self._in_hand_bytes -= sum(each.bytes for each in batch)
        self._slots.halt(self._spool.full)
        self._more.set()
        if not self.count:
            log.info("The ledger has every outcome of the spool.")
        return []

    async def _finish(self, batch: Sequence[Spooled]) -> None:
        records = [(each, each.write) for each in batch if isinstance(each.write, Finish)]
        if not records:
            return
        results = await self._ledger.finish([write for _, write in records])
        self._away = False
        for (each, write), result in zip(records, results, strict=True):
            each.written = True
            claim = self._claims.pop(nonce_of(write), None)
            if claim is not None and self._told is not None:
                self._told.finished(claim, result)
            elif result.won:
                name = QueueName(write.key.tenant, write.key.queue)
                self._counting.settled(name, result.state)

    async def _open(self, batch: Sequence[Spooled]) -> None:
        records = [(each, each.write) for each in batch if isinstance(each.write, OpenWrite)]
        if not records:
            return
        writes = [write for _, write in records]
        in_force = await self._ledger.record_open(writes)
        self._away = False
        own = [
            (claim, write, won)
            for write, won in zip(writes, in_force, strict=True)
            if (claim := self._claims.get(nonce_of(write))) is not None
        ]
        if own and self._told is not None:
            await self._told.opened(*map(list, zip(*own, strict=True)))
        for each, write in records:
            each.written = True
            self._claims.pop(nonce_of(write), None)
