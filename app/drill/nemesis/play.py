"""Playing a schedule of faults, with producers that go on at a bounded rate all the time."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from redis.exceptions import RedisError

from app.clock import monotonic_ms
from app.drill import checker
from app.drill.game import Game
from app.drill.nemesis.kinds import kind_of, kinds
from app.drill.nemesis.schedule import Stroke, may_begin, schedule
from app.lifecycle import cancel
from app.stack.process import StackError, until

USUAL_SECONDS: Final = 60
FEED_EVERY_S: Final = 0.1
RESERVE_SHARE, RESERVE_A_FAULT = 0.2, 5
"""What is kept back, to have work in flight at a fault that would find none."""
DEPTH_WITHIN_S: Final = 1.0
FLIGHT_WITHIN_MS: Final = 20_000
READY_WITHIN_MS: Final = 90_000


async def random_faults(game: Game, share: int) -> None:
    """Faults of every kind, at most two at once, at moments that the seed chooses; then peace."""
    lasts_ms = round((game.plan.seconds or USUAL_SECONDS) * 1000)
    choices = [each.choice for each in kinds(mongo=game.stack.mongo is not None)]
    strokes = schedule(game.plan.seed, lasts_ms, choices)
    game.planned_faults = len(strokes)
    game.say(
        f"Seed {game.plan.seed} chose {len(strokes)} faults in {lasts_ms / 1000:.0f} s, at most two"
        " at once."
    )
    await game.until_copies_have_a_home()
    kept_back = min(round(share * RESERVE_SHARE), RESERVE_A_FAULT * len(strokes))
    feeding = asyncio.create_task(_feed(game, share - kept_back, lasts_ms), name="feeding")
    try:
        await play(game, strokes)
    finally:
        await cancel(feeding)
    await _peace(game)


async def play(game: Game, strokes: Sequence[Stroke]) -> None:
    """Each at its time, or as soon after it as may be."""
    began_ms, active, one_ended = monotonic_ms(), set[Stroke](), asyncio.Event()

    async def strike(stroke: Stroke) -> None:
        try:
            await _strike(game, stroke)
        finally:
            active.discard(stroke)
            one_ended.set()

    async with asyncio.TaskGroup() as group:
        for stroke in strokes:
            await asyncio.sleep(max(0, began_ms + stroke.at_ms - monotonic_ms()) / 1000)
            while not may_begin(stroke, active):
                one_ended.clear()
                await one_ended.wait()
            active.add(stroke)
            group.create_task(strike(stroke), name=stroke.name)


async def _strike(game: Game, stroke: Stroke) -> None:
    kind = kind_of(stroke)
    in_flight = await _work_in_flight(game)

    async def come_and_go() -> None:
        due_ms = monotonic_ms() + stroke.for_ms
        await kind.inject(game, stroke)
        await asyncio.sleep(max(0, due_ms - monotonic_ms()) / 1000)
        await kind.heal(game, stroke)

    await game.inject(stroke.name, in_flight, come_and_go)


async def _feed(game: Game, count: int, lasts_ms: int) -> None:
    """Submit ``count`` tasks at an even rate."""
    began_ms, given = monotonic_ms(), 0
    while given < count:
        due = min(count, count * (monotonic_ms() - began_ms) // lasts_ms)
        game.submit(due - given)
        given = due
        await asyncio.sleep(FEED_EVERY_S)


async def _work_in_flight(game: Game) -> Mapping[str, int]:
    """What is under way now; a few more tasks if that is nothing."""
    found = await _flight(game)
    if any(found.values()):
        return found
    game.submit(RESERVE_A_FAULT)

    async def seen() -> bool:
        nonlocal found
        found = await _flight(game)
        return any(found.values())

    with suppress(TimeoutError):
        await until(seen, FLIGHT_WITHIN_MS, "work in flight")
    return found


async def _flight(game: Game) -> Mapping[str, int]:
    """By state in Redis; where it does not answer, by the books of producers and receiver."""
    try:
        async with asyncio.timeout(DEPTH_WITHIN_S):
            depth, _ = await checker.redis_depth(game.stack, game.keys_prefix)
        if any(depth.values()):
            return depth
    except (RedisError, OSError, TimeoutError, TypeError):
        pass
    arrivals = await asyncio.to_thread(checker.read_arrivals, game.arrivals_file)
    executed = {each.task.rsplit("/", 1)[-1] for each in arrivals if each.is_effect}
    return {"unexecuted": sum(1 for each in game.producers.book.accepted if each not in executed)}


async def _peace(game: Game) -> None:
    """Everything is healed: wait until all of Lifeboat is ready.

    Raises:
        StackError: a process is not, though nothing keeps it from it.
    """
    if game.network is not None:
        await game.network.heal()
    for service in game.system.services.values():
        try:
            await until(service.is_ready, READY_WITHIN_MS, f"{service.name} to be ready again")
        except TimeoutError as error:
            raise StackError(f"{error} Its log ends: {service.process.tail()}") from error
