"""Faults of Lifeboat's own processes."""

import asyncio
from contextlib import suppress
from typing import Final

from app.drill import checker
from app.drill.game import Game
from app.drill.nemesis.schedule import Stroke
from app.stack.process import StackError, is_free, until
from app.stack.system import Service

BEGUN_WITHIN_MS: Final = 20_000


async def kill(game: Game, stroke: Stroke) -> None:
    """Kill -9."""
    service = _living(game, stroke)
    if stroke.target == "rehydrator":
        game.restored_by_dead += await checker.restored_by_service(service.url)
    service.process.kill9()


async def start(game: Game, stroke: Stroke) -> None:
    """Start it; the others' faults may keep it from being ready for a while."""
    service = game.system.services[stroke.target]
    service.process.kill9()
    service.use_environment({})
    service.process.start()


async def pause(game: Game, stroke: Stroke) -> None:
    """SIGSTOP: beyond its lease, if it is long enough."""
    await asyncio.to_thread(_living(game, stroke).process.pause)


async def resume(game: Game, stroke: Stroke) -> None:
    """SIGCONT."""
    _living(game, stroke).process.resume()


async def die_at(game: Game, stroke: Stroke) -> None:
    """Kill -9, and start one that dies at the stroke's point, or is killed if it does not come.

    The wait for it is the fault's whole time, from when the process answers or has died.
    """
    service = _living(game, stroke)
    await kill(game, stroke)
    service.use_environment({"LIFEBOAT_CRASH_AT": stroke.variant})
    service.process.start()

    def is_dead() -> bool:
        return not service.process.running

    try:
        # On a busy machine it may take longer to begin than it then has to come to the point.
        with suppress(TimeoutError):
            await until(lambda: is_dead() or not is_free(service.port), BEGUN_WITHIN_MS, "it")
        await until(is_dead, stroke.for_ms, stroke.variant)
    except TimeoutError:
        game.say(f"{stroke.target} did not come to {stroke.variant}: killed elsewhere.")


def _living(game: Game, stroke: Stroke) -> Service:
    service = game.system.services[stroke.target]
    if not service.process.running:
        raise StackError(f"{service.name} ended by itself. Its log ends: {service.process.tail()}")
    return service
