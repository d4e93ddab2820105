"""Every metric Lifeboat exports, in one object: names, help and labels.

A process makes one ``Metrics`` and hands it down. A metric without a value in this process exports
no series, so all processes share one catalogue; ``docs/reference/metrics.md`` is generated from it.
Labels are names of queues, types and outcomes, never ids.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from app import __version__

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
QUEUE: Final = ("tenant", "queue")
DURATIONS_S: Final = (0.005, 0.02, 0.1, 0.5, 2, 10, 30, 120, 600, 3600)
LATENCIES_S: Final = (0.002, 0.005, 0.01, 0.05, 0.2, 1, 5, 30, 300, 3600)


class Metrics:
    """The catalogue, with a registry of its own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"lifeboat_{name}", help_, (*QUEUE, *labels), registry=registry)

        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return Gauge(f"lifeboat_{name}", help_, (*QUEUE, *labels), registry=registry)

        # The API.
        self.tasks_accepted = counter(
            "tasks_accepted_total", "Tasks accepted.", "level", "accepted_by"
        )
        # Workers.
        self.tasks_settled = counter("tasks_settled_total", "Runs recorded as over.", "outcome")
        self.task_duration = Histogram(
            "lifeboat_task_duration_seconds",
            "How long an attempt ran.",
            (*QUEUE, "type", "outcome"),
            buckets=DURATIONS_S,
            registry=registry,
        )
        self.pickup_latency = Histogram(
            "lifeboat_task_pickup_latency_seconds",
            "From due to started, first attempts.",
            QUEUE,
            buckets=LATENCIES_S,
            registry=registry,
        )
        self.lease_lost = counter("lease_lost_total", "Runs stopped because their lease was lost.")
        self.spooled_outcomes = gauge(
            "spooled_outcomes", "Outcomes on this worker's disk that the ledger does not have yet."
        )
        self.spool_damage = Counter(
            "lifeboat_spool_damage_total",
            "Spool files found torn at the end (cut off) or damaged (kept aside).",
            ("kind",),
            registry=registry,
        )
        # The mirror that holds a queue's lease: gauges come from it alone, so sums are right.
        self.queue_depth = gauge("queue_depth", "Tasks by state.", "state")
        self.queue_oldest_age = gauge(
            "queue_oldest_age_seconds", "Age of the oldest task that waits for a worker."
        )
        self.unmirrored_tasks = gauge(
            "unmirrored_tasks", "Tasks without a confirmed copy: the RPO now, in tasks."
        )
        self.unmirrored_oldest_age = gauge(
            "unmirrored_oldest_age_seconds", "Age of the oldest of them: the RPO now, in seconds."
        )
        self.missing_copies = gauge(
            "missing_copies", "Of the last hour's tasks, those without the copy they should have."
        )
        self.mirror_confirmed = counter("mirror_confirmed_total", "Copies the broker confirmed.")
        self.mirror_returned = counter("mirror_returned_total", "Copies no queue was bound for.")
        self.mirror_refused = counter("mirror_refused_total", "Copies the broker refused.")
        self.mirror_unknown = counter("mirror_unknown_total", "Publishes without an answer.")
        self.mirror_blocked = gauge(
            "mirror_blocked", "1 while the broker takes no copies: an alarm, or it is away."
        )
        self.generation_changes = counter(
            "redis_generation_changes_total",
            "Times Redis came back as another: restarted or worse.",
        )
        # The rehydrator.
        self.redis_losses = counter(
            "redis_losses_total", "Losses of Redis that were found, by what was lost.", "kind"
        )
        self.copies_retired = counter(
            "copies_retired_total", "Copies let go because their run is recorded as over."
        )
        self.copies_refreshed = counter(
            "copies_refreshed_total", "Old copies let go because a newer one is confirmed."
        )
        self.rehydrate_tasks = counter(
            "rehydrate_tasks_total", "Copies looked at, by what was found.", "outcome"
        )
        self.quarantined_tasks = gauge(
            "quarantined_tasks", "Copies in the quarantine that wait for a person."
        )
        self.workers = gauge("workers", "Workers that poll the queue.")
        self.reconcile_findings = gauge(
            "reconcile_findings",
            "Differences between the stores. Set by no process: `lifeboat reconcile` prints them.",
            "name",
        )
        Info("lifeboat_build", "Which Lifeboat this is.", registry=registry).info(
            {"version": __version__}
        )

    def exposition(self) -> bytes:
        """The Prometheus text format, to be sent as ``CONTENT_TYPE``."""
        return generate_latest(self.registry)
