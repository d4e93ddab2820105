"""Submitting: accept a task in Redis, then wait for the durability it asks for."""

from typing import Final

from app.broker.intake import Submission
from app.envelope import Envelope, decode
from app.errors import DurabilityNotReached, DurabilityUnsupported, IdempotencyConflict, QueueFull
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
        queue = await self._queues.made(envelope.queue_name)
        accepted = await queue.accept(Submission(envelope, prepared.fresh))
        _refuse_unaccepted(envelope, accepted)
        reached = await self._level(queue, prepared, accepted)
        short = falls_short(reached, prepared.durability)
        if short and prepared.on_degraded == "refuse":
            raise DurabilityNotReached(envelope.task_id, reached, self._sentence(envelope, reached))
        return Receipt(
            task_id=envelope.task_id,
            queue=envelope.queue,
            state=accepted.state,
            disposition=_disposition(accepted),
            requested=prepared.durability,
            reached=reached,
            degraded=short or not self._mirrored,
            accepted_at_ms=await self._accepted_at_ms(queue, envelope, accepted),
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

    async def _accepted_at_ms(
        self, queue: OpenQueue, envelope: Envelope, accepted: Accepted
    ) -> int:
        """When the task was accepted: a repeat was not, the first request was."""
        if accepted.outcome == "created":
            return envelope.accepted_at_ms
        first = await queue.accepted_at_ms(envelope.task_id)
        if first is not None:
            return first
        record = await self._ledger.get(envelope.key)
        if record is not None and record.envelope:
            return decode(record.envelope).accepted_at_ms
        return envelope.accepted_at_ms

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


def _refuse_unaccepted(envelope: Envelope, accepted: Accepted) -> None:
    if accepted.outcome == "conflict":
        raise IdempotencyConflict(envelope.task_id)
    if accepted.outcome == "full":
        raise QueueFull(
            f"Queue {envelope.queue} holds as many open or unmirrored tasks as it may"
            " (LIFEBOAT_QUEUE_MAX, LIFEBOAT_UNMIRRORED_MAX): try again later."
        )


def _disposition(accepted: Accepted) -> Disposition:
    if accepted.outcome == "duplicate":
        return "duplicate"
    return "unchecked" if accepted.unchecked else "created"
