"""The worker's metrics, with their label sets looked up once."""

from functools import cache

from prometheus_client import Counter, Histogram

from app.metrics import Metrics
from app.names import QueueName
from app.worker.claim import Claim


class Counting:
    """What workers count."""

    def __init__(self, metrics: Metrics) -> None:
        @cache
        def settled(name: QueueName, outcome: str) -> Counter:
            return metrics.tasks_settled.labels(name.tenant, name.queue, outcome)

        @cache
        def duration(name: QueueName, type: str, outcome: str) -> Histogram:
            return metrics.task_duration.labels(name.tenant, name.queue, type, outcome)

        @cache
        def latency(name: QueueName) -> Histogram:
            return metrics.pickup_latency.labels(name.tenant, name.queue)

        self._settled = settled
        self._duration = duration
        self._latency = latency
        self._lease_lost = metrics.lease_lost

    def started(self, claim: Claim) -> None:
        """An attempt begins; only first ones have a latency."""
        if claim.attempt == 1:
            envelope = claim.envelope
            due_ms = max(envelope.accepted_at_ms, envelope.not_before_ms)
            waited_ms = max(0, claim.started_at_ms - due_ms)
            self._latency(claim.work.name).observe(waited_ms / 1000)

    def ran(self, claim: Claim, outcome: str, took_ms: int) -> None:
        """An attempt of a known type ended."""
        self._duration(claim.work.name, claim.envelope.type, outcome).observe(took_ms / 1000)

    def settled(self, name: QueueName, outcome: str) -> None:
        """The ledger has recorded a run as over."""
        self._settled(name, outcome).inc()

    def lease_lost(self, claim: Claim) -> None:
        """A run was stopped because its lease was lost."""
        name = claim.work.name
        self._lease_lost.labels(name.tenant, name.queue).inc()
