"""Submitting: accept tasks in Redis, then wait for the durability they ask for."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from app.broker.intake import Submission
from app.clock import now_ms
from app.crashing import NOWHERE, CrashPoints
from app.envelope import Envelope, decode
from app.errors import (
    AcceptanceUnknown,
    DurabilityNotReached,
    Fatal,
    IdempotencyConflict,
    LifeboatError,
    QueueFull,
    Unavailable,
)
from app.names import QueueName
from app.settings import Settings
from app.task_queue.fallback import Fallback
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import Accepted, OpenQueue, known
from app.task_queue.open_queues import OpenQueues
from app.task_queue.receipt import Disposition, Receipt, falls_short
from app.task_queue.request import Level, Prepared

Outcome = Receipt | LifeboatError


class Submitter:
    """Accepts tasks of all queues."""

    def __init__(
        self,
        queues: OpenQueues,
        ledger: LedgerGate,
        settings: Settings,
        fallback: Fallback | None,
        crashes: CrashPoints = NOWHERE,
    ) -> None:
        """``fallback``: where tasks go while Redis is away, None: nowhere."""
        self._queues = queues
        self._fallback = fallback
        self._crashes = crashes
        self._ledger = ledger
        self._mirrored = settings.rabbitmq_url is not None
        self._confirm_timeout_ms = settings.confirm_timeout_ms

    async def submit(self, prepared: Prepared) -> Receipt:
        """See ``TaskQueue.submit``."""
        envelope, queue = prepared.envelope, None
        try:
            fsync = prepared.durability == "fsync"
            queue = await self._queues.made_for(envelope.queue_name, fsync=fsync)
            accepted = await queue.accept(Submission(envelope, prepared.fresh), fsync=fsync)
        except Unavailable as error:
            return await self._fall_back(prepared, queue, error)
        if refusal := _refusal(envelope, accepted):
            raise refusal
        reached = await self._level(queue, prepared, accepted)
        (accepted_at_ms,) = await self._accepted_at_ms(queue, [envelope], [accepted])
        outcome = self._outcome(prepared, accepted, reached, accepted_at_ms)
        if isinstance(outcome, LifeboatError):
            raise outcome
        return outcome

    async def submit_many(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """See ``TaskQueue.submit_many``."""
        places: dict[tuple[QueueName, bool], list[int]] = {}
        for place, prepared in enumerate(batch):
            group_of = (prepared.envelope.queue_name, prepared.durability == "fsync")
            places.setdefault(group_of, []).append(place)
        found: list[Outcome | None] = [None] * len(batch)
        groups = [[batch[place] for place in each] for each in places.values()]
        answers = await asyncio.gather(*(self._submit_group(group) for group in groups))
        for each, group in zip(places.values(), answers, strict=True):
            for place, outcome in zip(each, group, strict=True):
                found[place] = outcome
        return cast(list[Outcome], found)

    async def _submit_group(self, group: Sequence[Prepared]) -> list[Outcome]:
        """Tasks of one queue that all want an fsync, or none of them."""
        queue = None
        try:
            fsync = group[0].durability == "fsync"
            queue = await self._queues.made_for(group[0].envelope.queue_name, fsync=fsync)
            accepted = await queue.accept_many(
                [Submission(each.envelope, each.fresh) for each in group], fsync=fsync
            )
        except Unavailable as error:
            return await asyncio.gather(
                *(self._fall_back_or_say(each, queue, error) for each in group)
            )
        except Fatal:
            raise
        except LifeboatError as error:
            return [error for _ in group]
        levels = await self._levels(queue, group, accepted)
        times = await self._accepted_at_ms(queue, [each.envelope for each in group], accepted)
        return [
            _refusal(prepared.envelope, each) or self._outcome(prepared, each, level, time)
            for prepared, each, level, time in zip(group, accepted, levels, times, strict=True)
        ]

    async def _fall_back_or_say(
        self, prepared: Prepared, queue: OpenQueue | None, error: Unavailable
    ) -> Outcome:
        try:
            return await self._fall_back(prepared, queue, error)
        except Fatal:
            raise
        except LifeboatError as refused:
            return refused

    async def _fall_back(
        self, prepared: Prepared, queue: OpenQueue | None, error: Unavailable
    ) -> Receipt:
        """Accept a task without Redis, which may have accepted it yet: under the same id."""
        envelope = prepared.envelope
        if self._fallback is None or error.store != "redis":
            raise AcceptanceUnknown(envelope.task_id, error) from error
        state = "scheduled" if envelope.not_before_ms > now_ms() else "queued"
        disposition: Disposition = "created" if prepared.fresh else "unchecked"
        recorded = await self._recorded(prepared)
        if recorded is not None:
            if refusal := _refusal(envelope, recorded):
                raise refusal
            state, disposition = recorded.state, "duplicate"
        else:
            try:
                await self._fallback.accept(
                    envelope, queue.ledger_seen if queue else "", is_known=queue is not None
                )
            except Unavailable as away:
                both = Unavailable("redis", f"{error.detail}; and {away}")
                raise AcceptanceUnknown(envelope.task_id, both) from away
        return Receipt(
            task_id=envelope.task_id,
            queue=envelope.queue,
            state=state,
            disposition=disposition,
            requested=prepared.durability,
            reached="mirrored",
            degraded=True,
            accepted_at_ms=envelope.accepted_at_ms,
            accepted_by="rabbitmq",
        )

    async def _recorded(self, prepared: Prepared) -> Accepted | None:
        """What the ledger alone can answer, None where it cannot."""
        if prepared.fresh:
            return None
        key = prepared.envelope.key
        try:
            standings = await self._ledger.ask([key])
        except Unavailable:
            return None
        return known(standings.get(key), Submission(prepared.envelope, False), "")

    def _outcome(
        self, prepared: Prepared, accepted: Accepted, reached: Level, accepted_at_ms: int
    ) -> Outcome:
        envelope = prepared.envelope
        short = falls_short(reached, prepared.durability)
        if short and prepared.on_degraded == "refuse":
            return DurabilityNotReached(
                envelope.task_id, reached, self._sentence(envelope, reached)
            )
        return Receipt(
            task_id=envelope.task_id,
            queue=envelope.queue,
            state=accepted.state,
            disposition=_disposition(accepted),
            requested=prepared.durability,
            reached=reached,
            degraded=short or not self._mirrored,
            accepted_at_ms=accepted_at_ms,
        )

    async def _level(self, queue: OpenQueue, prepared: Prepared, accepted: Accepted) -> Level:
        if accepted.safe or prepared.durability != "mirrored" or not self._mirrored:
            return _at_once(accepted)
        self._crashes.reach("api.before_confirm")
        reached = await queue.confirmations.wait(
            accepted.token,
            prepared.envelope.task_id,
            accepted.run,
            prepared.envelope.request_digest,
            accepted.journal_id,
            self._confirm_timeout_ms,
        )
        self._crashes.reach("api.after_confirm")
        return "mirrored" if reached else "fast"

    async def _levels(
        self, queue: OpenQueue, group: Sequence[Prepared], accepted: Sequence[Accepted]
    ) -> list[Level]:
        """The same for many: all wait together, once."""
        levels = [_at_once(each) for each in accepted]
        waiting = [
            place
            for place, (prepared, each) in enumerate(zip(group, accepted, strict=True))
            if self._mirrored
            and not each.safe
            and prepared.durability == "mirrored"
            and each.outcome in ("created", "duplicate")
        ]
        if waiting:
            tasks = [
                (
                    group[place].envelope.task_id,
                    accepted[place].run,
                    group[place].envelope.request_digest,
                    accepted[place].journal_id,
                )
                for place in waiting
            ]
            self._crashes.reach("api.before_confirm")
            reached = await queue.confirmations.wait_for_all(
                accepted[0].token, tasks, self._confirm_timeout_ms
            )
            self._crashes.reach("api.after_confirm")
            for place, is_reached in zip(waiting, reached, strict=True):
                levels[place] = "mirrored" if is_reached else "fast"
        return levels

    async def _accepted_at_ms(
        self, queue: OpenQueue, envelopes: Sequence[Envelope], accepted: Sequence[Accepted]
    ) -> list[int]:
        """When the tasks were accepted: a repeat was not, the first request was."""
        times = [each.accepted_at_ms for each in envelopes]
        repeats = [n for n, each in enumerate(accepted) if each.outcome == "duplicate"]
        found: list[int | None] = [None] * len(repeats)
        if repeats:
            # The answer is "known", whichever store can still say since when.
            with suppress(Unavailable):
                found = await queue.accepted_at_ms([envelopes[n].task_id for n in repeats])
        for place, first in zip(repeats, found, strict=True):
            times[place] = first or await self._recorded_at_ms(envelopes[place])
        return times

    async def _recorded_at_ms(self, envelope: Envelope) -> int:
        with suppress(Unavailable):
            record = await self._ledger.get(envelope.key)
            if record is not None and record.envelope:
                return decode(record.envelope).accepted_at_ms
        return envelope.accepted_at_ms

    def _sentence(self, envelope: Envelope, reached: str) -> str:
        why = (
            f"No confirm within {self._confirm_timeout_ms} ms, or nobody there to give one"
            if self._mirrored
            else "No copy was made, for RabbitMQ is not configured"
        )
        return (
            f"{why}, so task {envelope.task_id} has only reached {reached}. It is kept and will"
            " run; repeat the request with this taskId to ask again."
        )


def _at_once(accepted: Accepted) -> Level:
    """The level reached without waiting for a copy."""
    if accepted.safe:
        return "mirrored"
    return "fsync" if accepted.fsynced else "fast"


def _refusal(envelope: Envelope, accepted: Accepted) -> LifeboatError | None:
    if accepted.outcome == "conflict":
        return IdempotencyConflict(envelope.task_id)
    if accepted.outcome == "full":
        return QueueFull(
            f"Queue {envelope.queue} holds as many open or unmirrored tasks as it may"
            " (LIFEBOAT_QUEUE_MAX, LIFEBOAT_UNMIRRORED_MAX): try again later."
        )
    return None


def _disposition(accepted: Accepted) -> Disposition:
    if accepted.outcome == "duplicate":
        return "duplicate"
    return "unchecked" if accepted.unchecked else "created"
