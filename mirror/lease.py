"""The lease on one journal, and the report of what its mirror saw of the broker."""

import asyncio
from collections import Counter
from typing import Final

from app.broker.journal import Journal, Sightings
from app.errors import StaleGeneration, Unavailable
from app.metrics import Metrics
from app.names import QueueName
from mirror.publisher import Publisher, PublishOutcome

LOOK_EVERY_S: Final = 0.1
QUARANTINED: Final = "quarantined"


class LeaseLost(Exception):
    """Another mirror keeps the journal now."""


class Sight:
    """What this mirror saw of the broker: counted for the metrics, and for the next report."""

    def __init__(self, metrics: Metrics, name: QueueName) -> None:
        labels = (name.tenant, name.queue)
        self._since_report: Counter[str] = Counter()
        self._totals = {
            PublishOutcome.CONFIRMED: metrics.mirror_confirmed.labels(*labels),
            PublishOutcome.RETURNED: metrics.mirror_returned.labels(*labels),
            PublishOutcome.REFUSED: metrics.mirror_refused.labels(*labels),
            PublishOutcome.UNKNOWN: metrics.mirror_unknown.labels(*labels),
        }

    def note(self, outcome: PublishOutcome, times: int) -> None:
        """Publishes with this outcome."""
        if times:
            self._totals[outcome].inc(times)
            self._since_report[outcome] += times

    def note_quarantined(self) -> None:
        """An entry went to the quarantine."""
        self._since_report[QUARANTINED] += 1

    def report(self, *, blocked: bool) -> Sightings:
        """What ``reported`` takes off once it has arrived."""
        seen = self._since_report
        return Sightings(
            blocked=blocked,
            returned=seen[PublishOutcome.RETURNED],
            refused=seen[PublishOutcome.REFUSED],
            unknown=seen[PublishOutcome.UNKNOWN],
            quarantined=seen[QUARANTINED],
        )

    def reported(self, seen: Sightings) -> None:
        """``seen`` is in Redis; what came in the meantime waits for the next report."""
        self._since_report[PublishOutcome.RETURNED] -= seen.returned
        self._since_report[PublishOutcome.REFUSED] -= seen.refused
        self._since_report[PublishOutcome.UNKNOWN] -= seen.unknown
        self._since_report[QUARANTINED] -= seen.quarantined


class JournalLease:
    """One process's claim on one journal."""

    def __init__(
        self, journal: Journal, publisher: Publisher, sight: Sight, *, owner: str, lease_ms: int
    ) -> None:
        self._journal = journal
        self._publisher = publisher
        self._sight = sight
        self._owner = owner
        self._lease_ms = lease_ms

    @property
    def takes_no_copies(self) -> bool:
        """Whether the broker has an alarm or is away: submits need not wait for a confirm."""
        return self._publisher.blocked or not self._publisher.connected

    async def acquire(self, token: str) -> None:
        """Wait until the lease is ours.

        Raises:
            StaleGeneration, Unavailable: see ``Journal.hold``.
        """
        # Redis tells nobody when a lease is free: it must be asked.
        while not await self._hold(token, blocked=self.takes_no_copies):  # noqa: ASYNC110
            await asyncio.sleep(self._lease_ms / 10_000)

    async def keep(self, token: str) -> None:
        """Renew until another mirror has it.

        A Redis that is away is asked again: whoever holds the lease then, publishing twice costs
        duplicates and nothing else.

        Raises:
            LeaseLost: another mirror has it.
            StaleGeneration: Redis has another history.
        """
        loop = asyncio.get_running_loop()
        blocked, renew_at = self.takes_no_copies, loop.time() + self._lease_ms / 3_000
        while True:
            await asyncio.sleep(min(LOOK_EVERY_S, self._lease_ms / 3_000))
            if loop.time() < renew_at and blocked == self.takes_no_copies:
                continue
            blocked = self.takes_no_copies
            try:
                held = await self._hold(token, blocked=blocked)
            except StaleGeneration:
                raise
            except Unavailable:
                continue
            if not held:
                raise LeaseLost
            renew_at = loop.time() + self._lease_ms / 3_000

    async def give_back(self, token: str) -> None:
        """Report what is left to report and free the lease, so that the next mirror need not wait.

        Raises:
            StaleGeneration, Unavailable: see ``Journal.release``; it expires then.
        """
        if await self._hold(token, blocked=self.takes_no_copies):
            await self._journal.release(token, self._owner)

    async def _hold(self, token: str, *, blocked: bool) -> bool:
        seen = self._sight.report(blocked=blocked)
        held = await self._journal.hold(token, self._owner, self._lease_ms, seen)
        if held:
            self._sight.reported(seen)
        return held
