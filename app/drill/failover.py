"""Redis fails over to a replica that was behind: new work is gone, finished work is back."""

import asyncio
from typing import Final

from app.clock import monotonic_ms, now_ms
from app.drill import checker
from app.drill.ends import Recorded
from app.drill.game import ALL_KINDS, Game
from app.drill.load import QUEUE
from app.stack.process import StackError, until

BEHIND_MS: Final = 5_000
"""How far the replica is behind: more than a crash of a Redis with a log could cost."""
SLICES: Final = 20
FINISHED_LEAST: Final = 5
"""Finished tasks that the replica must hold as unfinished."""
FINISHED_WITHIN_MS: Final = 30_000
FOUND_WITHIN_MS: Final = 30_000
SETTLED_WITHIN_MS: Final = 120_000
ROLLED_BACK: Final = "rolled_back"


async def redis_stale_failover(game: Game, share: int) -> None:
    """Cut the replication with work going on, kill the primary, promote the stale replica."""
    redis, replica = game.stack.redis, game.stack.replica
    if replica is None:
        raise StackError("There is no replica to fail over to.")
    book = game.producers.book
    await game.at_work(share // 3, ALL_KINDS)
    await replica.cut()
    known = set(book.accepted)
    unfinished = known - set(await _records(game))
    await _go_on(game, share - 2 * (share // 3), unfinished)
    in_flight = await game.at_work(share // 3, ALL_KINDS)
    finished = set(await _records(game))
    game.say(
        f"The replica lacks {len(set(book.accepted) - known):,} accepted tasks and holds"
        f" {len(unfinished & finished):,} finished ones as unfinished."
    )
    killed_ms = now_ms()

    async def fail_over() -> None:
        redis.kill9()
        await replica.take_over()

    await game.inject("redis killed, a stale replica in its place", in_flight, fail_over)
    rehydrator = game.system.services["rehydrator"].url

    async def is_found() -> bool:
        return await checker.losses_found(rehydrator, ROLLED_BACK) > 0

    await until(is_found, FOUND_WITHIN_MS, "the rehydrator to find that Redis was set back")
    game.say(f"Found {(now_ms() - killed_ms) / 1000:.1f} s after the kill: Redis was set back.")
    await game.settle(SETTLED_WITHIN_MS)
    again = {
        task_id
        for arrival in checker.read_arrivals(game.arrivals_file)
        if arrival.is_effect
        and (arrival.began_ms or arrival.at_ms) > killed_ms
        and (task_id := arrival.task.rsplit("/", 1)[-1]) in finished
    }
    if again:
        raise StackError(
            f"{len(again)} tasks ran again that were recorded as finished before the failover:"
            f" {', '.join(sorted(again)[:10])}."
        )
    game.say(f"None of {len(finished):,} tasks that were finished before it ran again.")


async def _go_on(game: Game, count: int, unfinished: set[str]) -> None:
    """Submit ``count`` tasks, a few at a time, until the replica is well behind."""
    began_ms = monotonic_ms()
    for number in range(SLICES):
        game.submit(count // SLICES if number else count // SLICES + count % SLICES)
        due_ms = began_ms + BEHIND_MS * (number + 1) // SLICES
        await asyncio.sleep(max(0, due_ms - monotonic_ms()) / 1000)

    async def enough() -> bool:
        return len(unfinished & set(await _records(game))) >= FINISHED_LEAST

    await until(enough, FINISHED_WITHIN_MS, f"{FINISHED_LEAST} tasks finished behind its back")


async def _records(game: Game) -> dict[str, Recorded]:
    return await checker.read_records(game.stack, game.sqlite_path, QUEUE)
