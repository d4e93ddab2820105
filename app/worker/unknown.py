"""Entries of a type that no handler here is registered for.

They are given back for a while, since another worker may know the type or be about to start: for
as long as one lives that does, and for ``UNKNOWN_FOR_MS`` where none does. Then they are suspended,
and resumed by the next worker that knows them.
"""

import logging
from collections.abc import Sequence
from typing import Final

from app.clock import now_ms
from app.ledger.records import ErrorInfo
from app.state import TaskState
from app.worker.claim import Claim, Phase, QueueWork, any_wanted
from app.worker.insist import insist
from app.worker.outcome import Done
from app.worker.presence import Neighbours
from app.worker.settler import Settler

log = logging.getLogger(__name__)

UNKNOWN_TYPE: Final = "unknown_type"
UNKNOWN_FOR_MS: Final = 5_000
AGAIN_AFTER_MS: Final = 250


class UnknownTypes:
    """Decides about such claims, in batches."""

    def __init__(self, neighbours: Neighbours, settler: Settler, consumer: str) -> None:
        self._neighbours = neighbours
        self._settler = settler
        self._consumer = consumer

    async def turn_away(self, work: QueueWork, token: str, claims: Sequence[Claim]) -> None:
        """Give claims back, or have them suspended when their time is over.

        Raises:
            StaleGeneration: Redis has another history than the claims.
            Unwanted: all of them were lost.
        """
        for claim in claims:
            claim.enter(Phase.CLOSING)
        elsewhere, nowhere = await self._split(work, claims, newest=False)
        await self._give_back(work, token, elsewhere, known_elsewhere=True)
        late = await self._give_back(work, token, nowhere, known_elsewhere=False)
        if late:
            # One who knows it may have started since the last look.
            elsewhere, nowhere = await self._split(work, late, newest=True)
            await self._give_back(work, token, elsewhere, known_elsewhere=True)
            for claim in nowhere:
                self._settler.put(claim, _end(claim))

    async def _split(
        self, work: QueueWork, claims: Sequence[Claim], *, newest: bool
    ) -> tuple[list[Claim], list[Claim]]:
        """Those whose type another worker of the queue knows, and the others."""
        types = {claim.envelope.type for claim in claims}
        known = await insist(
            lambda: self._neighbours.known(work.name, types, newest=newest), any_wanted(claims)
        )
        elsewhere = [claim for claim in claims if claim.envelope.type in known]
        return elsewhere, [claim for claim in claims if claim.envelope.type not in known]

    async def _give_back(
        self, work: QueueWork, token: str, claims: Sequence[Claim], *, known_elsewhere: bool
    ) -> list[Claim]:
        """Those that have been given back for long enough: they are still held."""
        mine = [claim for claim in claims if not claim.lost]
        if not mine:
            return []
        waited = await insist(
            lambda: work.delivery.give_back_later(
                token,
                self._consumer,
                [claim.entry for claim in mine],
                AGAIN_AFTER_MS,
                within_ms=None if known_elsewhere else UNKNOWN_FOR_MS,
                known_elsewhere=known_elsewhere,
            ),
            any_wanted(mine),
        )
        late = []
        for claim, waited_ms in zip(mine, waited, strict=True):
            if waited_ms >= UNKNOWN_FOR_MS:
                late.append(claim)
            else:
                claim.enter(Phase.OVER)
        return late


def _end(claim: Claim) -> Done:
    envelope = claim.envelope
    if 0 < envelope.expires_at_ms <= now_ms():
        return Done(TaskState.EXPIRED)
    text = (
        f"No worker of the queue knows the type {envelope.type}. The task is resumed when one that"
        " does starts."
    )
    return Done(TaskState.SUSPENDED, error=ErrorInfo(UNKNOWN_TYPE, text, retryable=False))
