"""What may be played: each scenario does its faults while tasks are in flight."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.drill.game import ALL_KINDS, Game


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story, how many faults it plans, and how it goes.

    ``play`` is given the game and how many tasks to submit around each fault.
    """

    story: str
    act: Callable[[Game, int], Awaitable[None]]
    planned_faults: int = 1
    needs_mongo: bool = False

    async def play(self, game: Game) -> None:
        """All of it, with an equal share of the tasks around each fault."""
        await self.act(game, game.plan.tasks)


async def redis_wipe(game: Game, share: int) -> None:
    """Half-way: kill -9, remove the data, start an empty Redis, rehydrate."""
    in_flight = await game.at_work(share, ALL_KINDS)

    async def wipe() -> None:
        game.stack.redis.wipe()
        game.say("Redis is dead and its data is gone. Starting an empty one.")
        await game.stack.redis.start()

    await game.inject("redis killed and wiped", in_flight, wipe)
    await game.rehydrate()


async def redis_restart(game: Game, share: int) -> None:
    """Half-way: kill -9 and start again on the same append-only file."""
    in_flight = await game.at_work(share, ALL_KINDS)
    await game.inject("redis killed and restarted", in_flight, game.stack.redis.restart)


async def worker_kill(game: Game, share: int) -> None:
    """Half-way: kill -9 the worker with tasks running, start another."""
    in_flight = await game.at_work(share)
    await game.inject("worker killed, another started", in_flight, lambda: game.restart("worker"))


SCENARIOS: Final = {
    "redis-wipe": Scenario("Redis dies and all its data is gone", redis_wipe),
    "redis-restart": Scenario("Redis dies and comes back with its data", redis_restart),
    "worker-kill": Scenario("the worker dies with tasks running", worker_kill),
}
