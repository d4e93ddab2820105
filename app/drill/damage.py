"""Redis loses a part of its data: the normal case. Nobody calls for help, and all of it heals."""

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from app.clock import monotonic_ms, now_ms
from app.drill import checker
from app.drill.game import ALL_KINDS, Game
from app.drill.keys import NORMAL_LANES, TASKS
from app.drill.load import QUEUE
from app.stack.process import StackError, until

TAIL_MS: Final = 2_000
"""About what an append-only file that is fsynced every second may lose."""
FOUND_WITHIN_MS: Final = 30_000
HEALED_WITHIN_MS: Final = 60_000
KEYS_LOST: Final = 5
SET_BACK: Final = ("tail_lost", "rolled_back")


async def redis_tail_loss(game: Game, share: int) -> None:
    """Kill -9 Redis and cut the end off its append-only file, as if it had not been on disk."""
    redis = game.stack.redis
    if redis.source.image:
        raise StackError("The append-only file of a Redis in a container cannot be cut from here.")
    await game.at_work(share // 2, ALL_KINDS)
    log = _log_of(redis.data)
    kept_bytes, known = log.stat().st_size, set(game.producers.book.accepted)
    due_ms = monotonic_ms() + TAIL_MS
    in_flight = await game.at_work(share - share // 2, ALL_KINDS)
    await until(lambda: monotonic_ms() >= due_ms, TAIL_MS, "a tail to lose")

    async def lose() -> None:
        redis.kill9()
        game.say(
            f"Cutting {log.stat().st_size - kept_bytes:,} bytes off {log.name}, and with them"
            f" {len(set(game.producers.book.accepted) - known):,} accepted tasks."
        )
        os.truncate(log, kept_bytes)
        await redis.start()

    await game.inject("redis killed, its last seconds lost", in_flight, lose)
    await _until_found(game, SET_BACK)


async def redis_stream_loss(game: Game, share: int) -> None:
    """Delete one of the streams of ready tasks."""
    in_flight = await game.at_work(share, ALL_KINDS)

    async def lose() -> None:
        async with Redis.from_url(game.stack.redis.url, decode_responses=True) as client:
            names = [name async for name in client.scan_iter(match=NORMAL_LANES)]
            if not names or not await client.delete(*names):
                raise StackError("There was no stream of ready tasks to delete.")

    await game.inject("one stream of redis deleted", in_flight, lose)
    await _until_found(game, ("key_lost",))


async def redis_key_loss(game: Game, share: int) -> None:
    """Delete the hashes of a few tasks that have not finished."""
    in_flight = await game.at_work(share, ALL_KINDS)
    lost_ms = now_ms()
    lost: list[str] = []

    async def lose() -> None:
        async with Redis.from_url(game.stack.redis.url, decode_responses=True) as client:
            states = await _states(client)
            unfinished = sorted(name for name, state in states.items() if state in ALL_KINDS)
            if len(unfinished) < KEYS_LOST:
                raise StackError(
                    f"There were {len(unfinished)} unfinished tasks: too few to delete."
                )
            lost.extend(random.Random(game.plan.seed).sample(unfinished, KEYS_LOST))
            await client.delete(*lost)

    await game.inject(f"{KEYS_LOST} tasks deleted from redis", in_flight, lose)

    async def are_back() -> bool:
        recorded = await checker.read_records(game.stack, game.sqlite_path, QUEUE)
        async with Redis.from_url(game.stack.redis.url, decode_responses=True) as client:
            gone = [name for name in lost if not await client.exists(name)]
        return all(name.rsplit(":", 1)[-1] in recorded for name in gone)

    await until(are_back, HEALED_WITHIN_MS, "the rehydrator to bring the deleted tasks back")
    game.say(f"All of them are back or done {(now_ms() - lost_ms) / 1000:.1f} s later.")


async def _states(client: Redis) -> Mapping[str, str]:
    names = [str(name) async for name in client.scan_iter(match=TASKS, count=1_000)]
    return {name: str(await client.hget(name, "state")) for name in names}


async def _until_found(game: Game, kinds: tuple[str, ...]) -> None:
    """Wait until the rehydrator says what was lost: it is told by nobody."""
    rehydrator, began_ms = game.system.services["rehydrator"].url, monotonic_ms()

    async def is_found() -> bool:
        found = [await checker.losses_found(rehydrator, kind) for kind in kinds]
        return sum(found) > 0

    await until(is_found, FOUND_WITHIN_MS, f"the rehydrator to find {' or '.join(kinds)}")
    game.say(f"The rehydrator found the loss in {(monotonic_ms() - began_ms) / 1000:.1f} s.")


def _log_of(data: Path) -> Path:
    """The file that Redis appends to."""
    found = sorted(data.glob("appendonlydir/*.incr.aof"))
    if not found:
        raise StackError("Redis has no append-only file.")
    return found[-1]
