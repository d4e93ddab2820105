"""Returning claims to their queues."""

import asyncio
import logging
from collections.abc import Sequence

from app.errors import Unavailable
from app.ledger.ledger import Ledger
from app.worker.claim import Claim, Phase, any_wanted, by_generation
from app.worker.insist import insist

log = logging.getLogger(__name__)


async def note_given_back(
    ledger: Ledger, consumer: str, claims: Sequence[Claim], within_s: float
) -> None:
    """Have the ledger say which attempts are given back: none of them is used up.

    Called before the claims are returned. Where the ledger does not answer in time they are
    returned without it.
    """
    writes = [
        write
        for claim in claims
        if not claim.lost and (write := claim.given_back_write(consumer)) is not None
    ]
    if not writes:
        return
    try:
        async with asyncio.timeout(within_s):
            await ledger.record_open(writes)
    except (Unavailable, TimeoutError) as error:
        log.warning("The ledger did not learn of %d attempts given back: %s", len(writes), error)


async def give_back(consumer: str, claims: Sequence[Claim]) -> None:
    """Return claims unfinished; their started attempts are not counted.

    Raises:
        StaleGeneration: there is nothing to return them to.
    """
    mine = [claim for claim in claims if not claim.lost]
    for claim in mine:
        claim.enter(Phase.CLOSING)
    for (work, token), group in by_generation(mine).items():
        entries = [(claim.entry, claim.started) for claim in group]
        # A repeat after a lost reply finds that they are not ours any more.
        await insist(
            lambda work=work, token=token, entries=entries: work.delivery.give_back(  # type: ignore[misc]
                token, consumer, entries
            ),
            any_wanted(group),
        )
        for claim in group:
            claim.enter(Phase.OVER)
