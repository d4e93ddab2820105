"""Submitting: accept tasks in Redis, then wait for the durability they ask for."""

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from app.broker.intake import Submission
from app.envelope import Envelope, decode
from app.errors import (
    AcceptanceUnknown,
    DurabilityNotReached,
    DurabilityUnsupported,
    Fatal,
    IdempotencyConflict,
    LifeboatError,
    QueueFull,
    Unavailable,
)
from app.names import QueueName
from app.settings import Settings
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.open_queue import Accepted, OpenQueue
from app.task_queue.open_queues import OpenQueues
from app.task_queue.receipt import Disposition, Receipt, falls_short
from app.task_queue.request import Level, Prepared

NO_FSYNC: Final = (
    "fsync needs Redis 7.2 or newer with AOF, and this Lifeboat does not use it yet: ask for fast"
    " or mirrored."
)

Outcome = Receipt | LifeboatError


class Submitter:
    """Accepts tasks of all queues."""

    def __init__(self, queues: OpenQueues, ledger: LedgerGate, settings: Settings) -> None:
        self._queues = queues
        self._ledger = ledger
        self._mirrored = settings.rabbitmq_url is not None
        self._confirm_timeout_ms = settings.confirm_timeout_ms

    async def submit(self, prepared: Prepared) -> Receipt:
        """See ``TaskQueue.submit``."""
        if prepared.durability == "fsync":
            raise DurabilityUnsupported(NO_FSYNC)
        envelope = prepared.envelope
        try:
            queue = await self._queues.made(envelope.queue_name)
            accepted = await queue.accept(Submission(envelope, prepared.fresh))
        except Unavailable as error:
            raise AcceptanceUnknown(envelope.task_id, error) from error
        if refusal := _refusal(envelope, accepted):
            raise refusal
        reached = await self._level(queue, prepared, accepted)
        accepted_at_ms = await self._accepted_at_ms(queue, envelope, accepted)
        outcome = self._outcome(prepared, accepted, reached, accepted_at_ms)
        if isinstance(outcome, LifeboatError):
            raise outcome
        return outcome

    async def submit_many(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """See ``TaskQueue.submit_many``."""
        places: dict[QueueName, list[int]] = {}
        for place, prepared in enumerate(batch):
            places.setdefault(prepared.envelope.queue_name, []).append(place)
        found: list[Outcome | None] = [None] * len(batch)
        groups = [[batch[place] for place in each] for each in places.values()]
        answers = await asyncio.gather(*(self._submit_group(group) for group in groups))
        for each, group in zip(places.values(), answers, strict=True):
            for place, outcome in zip(each, group, strict=True):
                found[place] = outcome
        return cast(list[Outcome], found)

    async def _submit_group(self, group: Sequence[Prepared]) -> list[Outcome]:
        """Tasks of one queue."""
        try:
            queue = await self._queues.made(group[0].envelope.queue_name)
            accepted = await queue.accept_many([Submission(p.envelope, p.fresh) for p in group])
        except Unavailable as error:
            return [AcceptanceUnknown(each.envelope.task_id, error) for each in group]
        except Fatal:
            raise
        except LifeboatError as error:
            return [error for _ in group]
        levels = await self._levels(queue, group, accepted)
        times = await self._accepted_at_many(queue, group, accepted)
        return [
            _refusal(prepared.envelope, each) or self._outcome(prepared, each, level, time)
            for prepared, each, level, time in zip(group, accepted, levels, times, strict=True)
        ]

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
        if accepted.safe:
            return "mirrored"
        if prepared.durability == "fast" or not self._mirrored:
            return "fast"
        reached = await queue.confirmations.wait(
            accepted.token,
            prepared.envelope.task_id,
            accepted.run,
            accepted.journal_id,
            self._confirm_timeout_ms,
        )
        return "mirrored" if reached else "fast"

    async def _levels(
        self, queue: OpenQueue, group: Sequence[Prepared], accepted: Sequence[Accepted]
    ) -> list[Level]:
        """The same for many: all wait together, once."""
        levels: list[Level] = ["mirrored" if each.safe else "fast" for each in accepted]
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
                (group[place].envelope.task_id, accepted[place].run, accepted[place].journal_id)
                for place in waiting
            ]
            reached = await queue.confirmations.wait_for_all(
                accepted[0].token, tasks, self._confirm_timeout_ms
            )
            for place, is_reached in zip(waiting, reached, strict=True):
                levels[place] = "mirrored" if is_reached else "fast"
        return levels

    async def _accepted_at_ms(
        self, queue: OpenQueue, envelope: Envelope, accepted: Accepted
    ) -> int:
        """When the task was accepted: a repeat was not, the first request was."""
        if accepted.outcome == "created":
            return envelope.accepted_at_ms
        (first,) = await queue.accepted_at_ms([envelope.task_id])
        if first is not None:
            return first
        record = await self._ledger.get(envelope.key)
        if record is not None and record.envelope:
            return decode(record.envelope).accepted_at_ms
        return envelope.accepted_at_ms

    async def _accepted_at_many(
        self, queue: OpenQueue, group: Sequence[Prepared], accepted: Sequence[Accepted]
    ) -> list[int]:
        times = [each.envelope.accepted_at_ms for each in group]
        repeats = [n for n, each in enumerate(accepted) if each.outcome == "duplicate"]
        if repeats:
            found = await queue.accepted_at_ms([group[n].envelope.task_id for n in repeats])
            for place, first in zip(repeats, found, strict=True):
                times[place] = first or times[place]
        return times

    def _sentence(self, envelope: Envelope, reached: str) -> str:
        why = (
            f"No copy was confirmed within {self._confirm_timeout_ms} ms"
            if self._mirrored
            else "RabbitMQ is not configured"
        )
        return (
            f"{why}, so task {envelope.task_id} has only reached {reached}. It is kept and will"
            " run; repeat the request with this taskId to ask again."
        )


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
