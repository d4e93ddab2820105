"""Renews the leases of all claims, and brings the news: lost, or to be cancelled."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from app.broker.cancelled import CancelledTasks
from app.errors import StaleGeneration, Unavailable
from app.lifecycle import cancel
from app.worker.claim import (
    Claim,
    Phase,
    QueueWork,
    StopReason,
    by_generation,
    lease_deadline_ms,
)
from app.worker.counting import Counting

log = logging.getLogger(__name__)

CLAIMS_A_CALL: Final = 500
BEATS_A_LEASE: Final = 4
STARTED: Final = (Phase.RUNNING, Phase.SETTLING)


class Heartbeat:
    """One loop for all claims of this worker."""

    def __init__(
        self,
        works: Sequence[QueueWork],
        counting: Counting,
        consumer: str,
        *,
        lease_ms: int,
    ) -> None:
        self._works = works
        self._counting = counting
        self._consumer = consumer
        self._lease_ms = lease_ms

    async def run(self) -> None:
        """Renew every quarter of a lease, until cancelled."""
        while True:
            await asyncio.sleep(self._lease_ms / BEATS_A_LEASE / 1000)
            await self.renew([claim for work in self._works for claim in work.claims.values()])

    async def heed(self, cancelled: CancelledTasks) -> None:
        """Renew at once the lease of what somebody cancels, to meet the mark; until cancelled."""
        ids: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        following = asyncio.create_task(
            cancelled.follow(lambda channel, task_id: ids.put_nowait((channel, task_id)))
        )
        try:
            while True:
                channel, task_id = await ids.get()
                await self.renew(self._running(channel, task_id))
        finally:
            await cancel(following)

    def _running(self, channel: str, task_id: str) -> list[Claim]:
        return [
            claim
            for work in self._works
            if work.session.keys.cancelled_channel == channel
            for claim in work.claims.values()
            if claim.entry.task_id == task_id and claim.phase is Phase.RUNNING
        ]

    async def renew(self, claims: Sequence[Claim]) -> None:
        """Renew now; a claim whose Redis is away keeps the deadline it had."""
        for (work, token), group in by_generation(claims).items():
            for start in range(0, len(group), CLAIMS_A_CALL):
                try:
                    await self._renew(work, token, group[start : start + CLAIMS_A_CALL])
                except StaleGeneration:
                    self._lost([claim for claim in work.claims.values() if claim.token == token])
                    work.forget(token)
                    break
                except Unavailable as error:
                    log.debug("Leases were not renewed: %s", error)
                    break

    async def _renew(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        deadline_ms = lease_deadline_ms(self._lease_ms)
        answers = await work.delivery.renew(
            token, self._consumer, [claim.entry for claim in claims]
        )
        for claim, answer in zip(claims, answers, strict=True):
            if claim.phase in (Phase.CLOSING, Phase.OVER):
                # It may have been settled meanwhile; if not, Redis still tells when it is.
                claim.held_until_ms = deadline_ms
            elif answer == "lost":
                self._lost([claim])
            elif answer == "over":
                log.info("%s was cancelled: its handler is stopped.", claim.task_key.full)
                claim.lose()
            else:
                claim.held_until_ms = deadline_ms
                if answer == "cancel":
                    claim.stop(StopReason.CANCEL)

    def _lost(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            if claim.phase in STARTED:
                log.warning(
                    "The lease of %s (attempt %d) was lost; its outcome is not written.",
                    claim.task_key.full,
                    claim.attempt,
                )
                self._counting.lease_lost(claim)
            claim.lose()
