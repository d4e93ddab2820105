"""Redis dies empty-handed, again and again, at moments that the seed chooses."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from app.drill.checker import unmirrored
from app.drill.game import Game

WIPES: Final = 50
LAGS: Final = 0.5
"""In what share of the wipes the mirror stands still, at ``fast``."""


async def redis_wipes(game: Game, share: int) -> None:
    """Fifty times: kill -9, remove the data, start an empty Redis. The service alone restores."""
    chance = random.Random(game.plan.seed)
    a_wipe, redis = share // WIPES, game.stack.redis
    shown: list[tuple[int, float]] = []
    for number in range(1, WIPES + 1):
        before = chance.randint(1, max(1, a_wipe))
        # At fast nobody waits for the mirror: let it lag, or there would be nothing to lose.
        lags = game.plan.durability == "fast" and chance.random() < LAGS
        with _standing_still(game, "mirror") if lags else nullcontext():
            in_flight = await game.at_work(before)
            # These are under way at the very moment.
            game.submit(a_wipe - before)

            async def wipe() -> None:
                with _standing_still(game, "api"):
                    shown.append(await unmirrored(redis.url))
                    redis.wipe()
                await redis.start()

            await game.inject(f"redis killed and wiped, {number} of {WIPES}", in_flight, wipe)
    # What each wipe could have cost is what was without a copy then.
    game.rpo = sum(tasks for tasks, _ in shown), max(seconds for _, seconds in shown)


@contextmanager
def _standing_still(game: Game, name: str) -> Iterator[None]:
    """A process that accepts nothing meanwhile, so that what is counted is what is lost."""
    process = game.system.services[name].process
    process.pause()
    try:
        yield
    finally:
        process.resume()
