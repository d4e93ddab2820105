"""Every key in Redis; the braces are the cluster hash tag: one queue, one slot."""

from dataclasses import dataclass

from app.envelope import PRIORITIES
from app.names import QueueName

GROUP = "workers"
"""The consumer group on the ready streams."""


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one queue of one tenant."""

    env: str
    name: QueueName

    @property
    def prefix(self) -> str:
        """``lb:{env.tenant.queue}:``."""
        return f"lb:{{{self.env}.{self.name.tenant}.{self.name.queue}}}:"

    @property
    def generation(self) -> str:
        """Hash: token, run_id, since (ms), ledger, paused (0/1, absent: not loaded), pending.

        Of the generation before: previous (its token) and before (its since).
        """
        return self.prefix + "generation"

    @property
    def lanes(self) -> tuple[str, ...]:
        """Streams, high to low priority: fields id, run, gen, fresh, envelope."""
        return tuple(f"{self.prefix}ready:{priority}" for priority in PRIORITIES)

    @property
    def journal(self) -> str:
        """Stream of what RabbitMQ has not got yet: fields id, run, kind, envelope."""
        return self.prefix + "journal"

    @property
    def delayed(self) -> str:
        """Sorted set of task ids by due time (ms): scheduled and retrying tasks."""
        return self.prefix + "delayed"

    @property
    def retrying(self) -> str:
        """Set of the delayed ids that wait for a retry, so that both kinds can be counted."""
        return self.prefix + "retrying"

    @property
    def mirror(self) -> str:
        """Hash: watermark, leader, blocked and the mirror's counters."""
        return self.prefix + "mirror"

    @property
    def mirror_lease(self) -> str:
        """String with expiry: the owner of the journal."""
        return self.prefix + "mirror-lease"

    @property
    def rates(self) -> str:
        """Hash: ring of ten one-second buckets each for accepted (a) and settled (s) tasks."""
        return self.prefix + "rates"

    @property
    def coverage(self) -> str:
        """Hash: per minute of a day accepted (a), mirrored (m), retired (r); since (ms)."""
        return self.prefix + "coverage"

    @property
    def watermark_channel(self) -> str:
        """Pub/sub channel that wakes those who wait for ``mirrored``."""
        return self.prefix + "watermark"

    @property
    def finished_channel(self) -> str:
        """Pub/sub channel that tells which tasks are finished: ids, one a line."""
        return self.prefix + "finished"

    @property
    def cancelled_channel(self) -> str:
        """Pub/sub channel that tells which running tasks are to be cancelled: an id."""
        return self.prefix + "cancelled"

    def task(self, task_id: str) -> str:
        """Hash: one task (state, run, attempt, place, entry, lane, jid, mirrored, ...)."""
        return f"{self.prefix}task:{task_id}"


def workers_key(env: str) -> str:
    """Hash: the env's workers by name, until when (ms) each lives and what it says of itself."""
    return f"lb:{{{env}}}:workers"
