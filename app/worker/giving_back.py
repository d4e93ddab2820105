"""Returning claims to their queues."""

from collections.abc import Sequence

from app.worker.claim import Claim, Phase, any_wanted, by_generation
from app.worker.insist import insist


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
