"""What may be played: each scenario does its faults while tasks are in flight."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.drill.game import Game

ALL_KINDS: Final = ("queued", "running", "scheduled", "retrying")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story, how many faults it plans, and how it goes."""

    story: str
    planned_faults: int
    play: Callable[[Game], Awaitable[None]]


async def redis_wipe(game: Game) -> None:
    """Half-way: kill -9, remove the data, start an empty Redis, rehydrate."""
    await game.until_accepted(game.plan.tasks // 2)
    in_flight = await game.work_in_flight(ALL_KINDS)

    async def wipe() -> None:
        game.stack.redis.wipe()
        game.say("Redis is dead and its data is gone. Starting an empty one.")
        await game.stack.redis.start()

    await game.inject("redis killed and wiped", in_flight, wipe)
    await game.rehydrate()


async def redis_restart(game: Game) -> None:
    """Half-way: kill -9 and start again on the same append-only file."""
    await game.until_accepted(game.plan.tasks // 2)
    in_flight = await game.work_in_flight(ALL_KINDS)
    await game.inject("redis killed and restarted", in_flight, game.stack.redis.restart)


SCENARIOS: Final = {
    "redis-wipe": Scenario("Redis dies and all its data is gone", 1, redis_wipe),
    "redis-restart": Scenario("Redis dies and comes back with its data", 1, redis_restart),
}
