"""Faults of the servers."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis

from app.drill.checker import unmirrored
from app.drill.game import Game
from app.drill.nemesis.schedule import Stroke
from app.stack.process import StackError, free_port, until
from app.stack.servers import MongoServer, Server

FULL: Final = "1kb"
"""Less than any Redis uses: it takes nothing that needs memory."""
ALARMED, USUAL = "0.0001", "0.4"
"""Shares of the machine's memory at which RabbitMQ blocks publishers."""
NO_DISK, USUAL_DISK = "100000GB", "512MB"
"""Free space below which it does."""
ALARM_WITHIN_MS: Final = 30_000
PRIMARY_WITHIN_MS: Final = 60_000
ANSWER_WITHIN_MS: Final = 5_000


def _server(game: Game, stroke: Stroke) -> Server:
    found = next((each for each in game.stack.servers if each.name == stroke.target), None)
    if found is None:
        raise StackError(f"There is no {stroke.target}.")
    return found


async def kill(game: Game, stroke: Stroke) -> None:
    """Kill -9; its data stays."""
    if stroke.target == "redis":
        await _note_exposure(game)
    _server(game, stroke).kill9()


async def wipe(game: Game, stroke: Stroke) -> None:
    """Kill -9 and remove its data."""
    await _note_exposure(game)
    _server(game, stroke).wipe()


async def start(game: Game, stroke: Stroke) -> None:
    """Start it on what data there is."""
    await _server(game, stroke).start()


async def pause(game: Game, stroke: Stroke) -> None:
    """SIGSTOP."""
    await asyncio.to_thread(_server(game, stroke).process.pause)


async def resume(game: Game, stroke: Stroke) -> None:
    """SIGCONT."""
    _server(game, stroke).process.resume()


async def fill(game: Game, _stroke: Stroke) -> None:
    """Leave Redis no memory: it refuses writes with OOM."""
    await _redis(game, "CONFIG", "SET", "maxmemory", FULL)


async def empty(game: Game, _stroke: Stroke) -> None:
    """Let it take memory again."""
    await _redis(game, "CONFIG", "SET", "maxmemory", "0")


async def refuse_writes(game: Game, stroke: Stroke) -> None:
    """Have Redis refuse writes: READONLY as a replica of nobody, or NOREPLICAS."""
    if stroke.variant == "a replica":
        await _redis(game, "REPLICAOF", "127.0.0.1", free_port())
    else:
        await _redis(game, "CONFIG", "SET", "min-replicas-to-write", 1)


async def take_writes(game: Game, _stroke: Stroke) -> None:
    """Let it take them again."""
    await _redis(game, "REPLICAOF", "NO", "ONE")
    await _redis(game, "CONFIG", "SET", "min-replicas-to-write", 0)


async def alarm(game: Game, stroke: Stroke) -> None:
    """A memory or disk alarm: RabbitMQ blocks publishers."""
    rabbitmq, memory = game.stack.rabbitmq, stroke.variant == "memory"
    if memory:
        await rabbitmq.control("set_vm_memory_high_watermark", ALARMED)
    else:
        await rabbitmq.control("set_disk_free_limit", NO_DISK)
    has_alarm = rabbitmq.has_memory_alarm if memory else rabbitmq.has_disk_alarm
    await until(has_alarm, ALARM_WITHIN_MS, f"the {stroke.variant} alarm")


async def calm_down(game: Game, stroke: Stroke) -> None:
    """The alarm is over."""
    if stroke.variant == "memory":
        await game.stack.rabbitmq.control("set_vm_memory_high_watermark", USUAL)
    else:
        await game.stack.rabbitmq.control("set_disk_free_limit", USUAL_DISK)


async def step_down(game: Game, stroke: Stroke) -> None:
    """Have the only member of the set be no primary for so long."""
    seconds = max(1, stroke.for_ms // 1000)
    # It closes every connection, also the one that said so.
    with suppress(PyMongoError):
        await _mongo(game, "replSetStepDown", seconds, force=True, secondaryCatchUpPeriodSecs=0)


async def be_primary(game: Game, _stroke: Stroke) -> None:
    """Wait until it has elected itself again."""

    async def is_primary() -> bool:
        with suppress(PyMongoError):
            return bool((await _mongo(game, "hello", 1)).get("isWritablePrimary"))
        return False

    await until(is_primary, PRIMARY_WITHIN_MS, "mongo to be the primary again")


async def _redis(game: Game, *words: str | int) -> None:
    async with Redis.from_url(game.stack.redis.url) as client:
        await client.execute_command(*words)  # type: ignore[no-untyped-call]


async def _mongo(game: Game, command: str, value: Any, **more: Any) -> dict[str, Any]:
    mongo = game.stack.mongo
    if not isinstance(mongo, MongoServer):
        raise StackError("There is no MongoDB.")
    async with AsyncMongoClient[dict[str, Any]](
        mongo.direct_url("admin"), serverSelectionTimeoutMS=ANSWER_WITHIN_MS
    ) as client:
        return await client.admin.command(command, value, **more)


async def _note_exposure(game: Game) -> None:
    """Add what is without a copy now to what the faults could cost: all that Redis alone has."""
    tasks, seconds = await unmirrored(game.stack.redis.url)
    game.rpo = game.rpo[0] + tasks, max(game.rpo[1], seconds)
