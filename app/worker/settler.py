"""Settles outcomes: the ledger first, then Redis (rule 12), each in batches.

A settlement is repeated until both have it, as long as the process lives and holds the lease; a
repeat is harmless, since the claim's nonce marks the record as our own.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.broker.delivery import PutOff, Settle
from app.clock import monotonic_ms, now_ms
from app.crashing import CrashPoints
from app.errors import StaleGeneration, Unavailable
from app.ledger.ledger import Ledger
from app.ledger.records import About, Finish, FinishedPart, FinishResult, OpenWrite
from app.state import TaskState
from app.worker.claim import Claim, Phase, by_generation
from app.worker.counting import Counting
from app.worker.heartbeat import Heartbeat
from app.worker.outcome import Again, Done, Leftover, Settlement
from app.worker.spooling import Spooling
from app.worker.stage import Stage

log = logging.getLogger(__name__)

BATCH_MAX: Final = 500
LANES: Final = 2
LOOK_EVERY_S: Final = 0.02


@dataclass(slots=True)
class Outgoing:
    """A claim and what is to be written of it."""

    claim: Claim
    settlement: Settlement


class Settler:
    """Two stages: what the ledger has got goes on to Redis."""

    def __init__(
        self,
        ledger: Ledger,
        heartbeat: Heartbeat,
        counting: Counting,
        spooling: Spooling,
        crashes: CrashPoints,
        consumer: str,
    ) -> None:
        self._ledger = ledger
        self._spooling = spooling
        spooling.tell(self)
        self._heartbeat = heartbeat
        self._counting = counting
        self._crashes = crashes
        self._consumer = consumer
        self._recording = Stage(
            "Recording outcomes", self._record, items_max=BATCH_MAX, lanes=LANES
        )
        self._closing = Stage("Settling in Redis", self._close, items_max=BATCH_MAX, lanes=LANES)

    def put(self, claim: Claim, settlement: Settlement) -> None:
        """Have ``settlement`` written; returns at once."""
        if claim.lost:
            return
        if isinstance(settlement, Leftover):
            claim.enter(Phase.CLOSING)
            self._closing.put(Outgoing(claim, settlement))
        else:
            claim.enter(Phase.SETTLING)
            self._recording.put(Outgoing(claim, settlement))

    async def run(self) -> None:
        """Settle until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recording.run())
            group.create_task(self._closing.run())

    async def drain(self, within_s: float) -> bool:
        """Whether everything put so far got settled within so many seconds."""
        try:
            async with asyncio.timeout(within_s):
                while not (self._recording.idle and self._closing.idle):  # noqa: ASYNC110 - at the end
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True

    async def _record(self, batch: list[Outgoing]) -> list[Outgoing]:
        if self._spooling.is_needed:
            return await self._put_aside(batch, "it is still away")
        held, unsure = await self._held(batch)
        try:
            await self._write(held)
        except Unavailable as error:
            return await self._put_aside(batch, error.detail)
        return unsure

    async def _put_aside(self, batch: list[Outgoing], because: str) -> list[Outgoing]:
        """Spool what is not in the ledger; leases are not looked at, for it happened anyway."""
        left = {each.claim: each for each in _still_settling(batch)}
        writes = [
            self._finish(each) if isinstance(each.settlement, Done) else self._failed(each)
            for each in left.values()
        ]
        return [left[each] for each in await self._spooling.put_aside([*left], writes, because)]

    async def _write(self, held: Sequence[Outgoing]) -> None:
        finishes = [each for each in held if isinstance(each.settlement, Done)]
        retries = [each for each in held if isinstance(each.settlement, Again)]
        if finishes:
            self._crashes.reach("worker.before_ledger")
            results = await self._ledger.finish([self._finish(each) for each in finishes])
            self._crashes.reach("worker.after_ledger")
            for each, result in zip(finishes, results, strict=True):
                self.finished(each.claim, result)
        if retries:
            self._crashes.reach("worker.before_failed")
            in_force = await self._ledger.record_open([self._failed(each) for each in retries])
            self._crashes.reach("worker.after_failed")
            await self._go_on(retries, in_force)

    def finished(self, claim: Claim, result: FinishResult) -> None:
        """The ledger has the end of a run: Redis is next."""
        if result.won:
            self._counting.settled(claim.work.name, result.state)
        self._tell_redis(claim, Leftover(result.run, TaskState(result.state)))

    async def opened(
        self, claims: Sequence[Claim], writes: Sequence[OpenWrite], in_force: Sequence[bool]
    ) -> None:
        """The ledger has failed attempts that were spooled: Redis is next."""
        retries = [
            Outgoing(claim, Again(write.part.due_ms, write.attempt.outcome, write.attempt.error))
            for claim, write in zip(claims, writes, strict=True)
            if write.attempt is not None and write.attempt.error is not None
        ]
        await self._go_on(retries, in_force)

    async def _go_on(self, retries: Sequence[Outgoing], in_force: Sequence[bool]) -> None:
        beaten = [each for each, won in zip(retries, in_force, strict=True) if not won]
        # Somebody was ahead: with a later attempt, or with the end of the run.
        standings = (
            await self._ledger.ask([each.claim.task_key for each in beaten]) if beaten else {}
        )
        for each in retries:
            standing = standings.get(each.claim.task_key)
            if standing is not None and standing.is_finished(each.claim.envelope.run):
                state = TaskState(standing.finished_state)
                self._tell_redis(each.claim, Leftover(standing.finished_run, state))
            else:
                self._tell_redis(each.claim, each.settlement)

    def _tell_redis(self, claim: Claim, settlement: Settlement) -> None:
        # Also for a claim lost meanwhile: what the ledger has as finished may leave Redis.
        claim.enter(Phase.CLOSING)
        self._closing.put(Outgoing(claim, settlement))

    async def _held(self, batch: list[Outgoing]) -> tuple[list[Outgoing], list[Outgoing]]:
        """Those whose lease is surely held, and those of which Redis could not be asked."""
        batch = _still_settling(batch)
        now = monotonic_ms()
        doubtful = [each.claim for each in batch if each.claim.held_until_ms <= now]
        if doubtful:
            await self._heartbeat.renew(doubtful)
            now = monotonic_ms()
        alive = _still_settling(batch)
        held = [each for each in alive if each.claim.held_until_ms > now]
        return held, [each for each in alive if each.claim.held_until_ms <= now]

    async def _close(self, batch: list[Outgoing]) -> list[Outgoing]:
        items = {each.claim: each for each in batch}
        again: list[Outgoing] = []
        for (work, token), claims in by_generation(items).items():
            group = [items[claim] for claim in claims]
            try:
                await self._settle(group)
                await self._put_off(group)
            except StaleGeneration:
                work.forget(token)
                for claim in claims:
                    claim.enter(Phase.OVER)
            except Unavailable as error:
                log.debug("Redis is to be told later: %s", error)
                again += [each for each in group if each.claim.phase is Phase.CLOSING]
        if len(again) == len(batch):
            raise Unavailable("redis", "nothing could be settled")
        return again

    async def _settle(self, group: list[Outgoing]) -> None:
        settles = [
            (each.claim, _settle(each.claim, each.settlement))
            for each in group
            if isinstance(each.settlement, Leftover)
        ]
        if not settles:
            return
        claim = settles[0][0]
        self._crashes.reach("worker.before_settle")
        await claim.work.delivery.settle(claim.token, [settle for _, settle in settles])
        self._crashes.reach("worker.after_settle")
        for claim, _ in settles:
            claim.enter(Phase.OVER)

    async def _put_off(self, group: list[Outgoing]) -> None:
        retries = [
            (each.claim, PutOff(each.claim.entry, each.claim.attempt, each.settlement.due_ms))
            for each in group
            if isinstance(each.settlement, Again)
        ]
        if not retries:
            return
        claim = retries[0][0]
        self._crashes.reach("worker.before_put_off")
        replies = await claim.work.delivery.put_off(
            claim.token, self._consumer, [put_off for _, put_off in retries]
        )
        self._crashes.reach("worker.after_put_off")
        for (claim, _), reply in zip(retries, replies, strict=True):
            if reply == "cancel" and not claim.lost:
                # Rule 8: whoever meets the mark finishes it. The attempt is recorded already.
                claim.enter(Phase.SETTLING)
                self._recording.put(Outgoing(claim, Done(TaskState.CANCELLED)))
            else:
                claim.enter(Phase.OVER)

    def _finish(self, outgoing: Outgoing) -> Finish:
        claim, done = outgoing.claim, outgoing.settlement
        assert isinstance(done, Done)  # noqa: S101 - for the type checker; chosen by the caller
        attempt = claim.lost_attempt
        if done.outcome is not None:
            attempt = claim.attempt_record(self._consumer, done.outcome, done.error)
        return Finish(
            key=claim.task_key,
            request_digest=claim.envelope.request_digest,
            envelope=claim.envelope.raw,
            finished=FinishedPart(
                run=claim.envelope.run,
                state=done.state,
                at_ms=now_ms(),
                by=claim.nonce,
                attempt=claim.attempt,
                result=done.result,
                error=done.error,
            ),
            about=About.of(claim.envelope),
            attempt=attempt,
        )

    def _failed(self, outgoing: Outgoing) -> OpenWrite:
        claim, again = outgoing.claim, outgoing.settlement
        assert isinstance(again, Again)  # noqa: S101 - as above
        attempt = claim.attempt_record(self._consumer, again.outcome, again.error)
        return claim.open_write("failed", due_ms=again.due_ms, attempt=attempt)


def _still_settling(batch: list[Outgoing]) -> list[Outgoing]:
    # Not what was lost, and not what went on to Redis when the rest of its batch failed.
    return [each for each in batch if each.claim.phase is Phase.SETTLING]


def _settle(claim: Claim, leftover: Leftover) -> Settle:
    entry = claim.entry
    return Settle(entry.task_id, entry.lane, entry.entry_id, leftover.run, leftover.state)
