"""What may be played: each scenario does its faults while tasks are in flight."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.clock import monotonic_ms
from app.drill.copies import rabbitmq_queue_deleted, rabbitmq_queue_full
from app.drill.damage import redis_key_loss, redis_stream_loss, redis_tail_loss
from app.drill.elections import TIMES, mongo_failover
from app.drill.failover import redis_stale_failover
from app.drill.game import ALL_KINDS, Game
from app.drill.nemesis.play import random_faults
from app.drill.nodes import rabbitmq_node_loss, rabbitmq_quorum_loss
from app.drill.wipes import WIPES, redis_wipes
from app.stack.process import StackError, until

DOWN_MS: Final = 5_000
TAKEN_WITHIN_MS: Final = 30_000
ALARM_WITHIN_MS: Final = 20_000
ALARMED, USUAL = "0.0001", "0.4"
"""Shares of the machine's memory at which RabbitMQ blocks publishers."""
SLOW_RATE: Final = 5
"""Tasks a second of the rehydrate that is to be killed."""
RESTORED_MOST: Final = 5
"""By then it is killed, and earlier where there are few."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story, how many faults it plans, and how it goes.

    ``play`` is given the game and how many tasks to submit around each fault.
    """

    story: str
    act: Callable[[Game, int], Awaitable[None]]
    planned_faults: int | None = 1
    """None: the game knows, once its schedule is made."""
    needs_mongo: bool = False
    clustered: bool = False
    """Whether RabbitMQ must have three nodes."""
    replicated: bool = False
    """Whether Redis must have a replica."""
    electing: bool = False
    """Whether MongoDB must have three members."""
    networked: bool = False
    """Whether every process must speak to every server through a line that can be broken."""
    takes_copies: bool = False
    """Whether a fault takes copies out of RabbitMQ by itself."""

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


async def mirror_kill(game: Game, share: int) -> None:
    """Half-way: kill -9 the mirror with copies to confirm, start another."""
    in_flight = await game.at_work(share)
    await game.inject("mirror killed, another started", in_flight, lambda: game.restart("mirror"))


async def rehydrator_kill(game: Game, share: int) -> None:
    """Wipe Redis, kill -9 the command half-way and the service, start both again."""
    in_flight = await game.at_work(share, ALL_KINDS)
    service = game.system.services["rehydrator"]

    async def wipe() -> None:
        # The service first: it would have brought all back before the command had begun.
        service.process.kill9()
        game.stack.redis.wipe()
        await game.stack.redis.start()

    await game.inject("redis wiped, the standing rehydrator killed", in_flight, wipe)
    # What is submitted now is no restored task.
    await game.until_accepted(share)
    command = await game.start_command("rehydrate", f"--rate={SLOW_RATE}")
    half_way = await game.until_restored(RESTORED_MOST)

    async def kill() -> None:
        command.kill()
        await command.communicate()

    await game.inject("rehydrate killed half-way", half_way, kill)
    await service.start()
    await game.rehydrate()


async def mongo_restart(game: Game, share: int) -> None:
    """Half-way: kill -9 MongoDB and start it again on the same data."""
    mongo = game.stack.mongo
    if mongo is None:
        raise StackError("There is no MongoDB to restart.")
    in_flight = await game.at_work(share)
    await game.inject("mongod killed and restarted", in_flight, mongo.restart)


async def rabbitmq_restart(game: Game, share: int) -> None:
    """Half-way: kill -9 RabbitMQ and start it again on the same data."""
    await game.until_copies_have_a_home()
    in_flight = await game.at_work(share)
    await game.inject("rabbitmq killed and restarted", in_flight, game.stack.rabbitmq.restart)


async def redis_down_accept(game: Game, share: int) -> None:
    """Redis is away for a while; RabbitMQ takes the tasks; Redis comes back empty."""
    game.producers.on_degraded = "accept"
    in_flight = await game.at_work(share // 2, ALL_KINDS)
    taken = len(game.producers.book.fallback)

    async def down() -> None:
        game.stack.redis.wipe()
        back_at = monotonic_ms() + DOWN_MS
        game.submit(share - share // 2)
        await until(
            lambda: len(game.producers.book.fallback) > taken,
            TAKEN_WITHIN_MS,
            "a submit that RabbitMQ takes while Redis is away",
        )
        await until(lambda: monotonic_ms() >= back_at, DOWN_MS, "the end of the outage")
        await game.stack.redis.start()

    await game.inject("redis killed, away, back empty", in_flight, down)


async def rabbitmq_alarm(game: Game, share: int) -> None:
    """RabbitMQ has a memory alarm and blocks publishers for a while."""
    rabbitmq = game.stack.rabbitmq
    in_flight = await game.at_work(share // 2)

    async def alarm() -> None:
        await rabbitmq.control("set_vm_memory_high_watermark", ALARMED)
        await until(rabbitmq.has_memory_alarm, ALARM_WITHIN_MS, "the memory alarm")
        over_at = monotonic_ms() + DOWN_MS
        game.submit(share - share // 2)
        await until(lambda: monotonic_ms() >= over_at, DOWN_MS, "the end of the alarm")
        await rabbitmq.control("set_vm_memory_high_watermark", USUAL)

    await game.inject("rabbitmq memory alarm, on and off", in_flight, alarm)


SCENARIOS: Final = {
    "redis-wipe": Scenario("Redis dies and all its data is gone", redis_wipe),
    "redis-restart": Scenario("Redis dies and comes back with its data", redis_restart),
    "redis-wipes": Scenario("Redis is wiped fifty times", redis_wipes, WIPES),
    "redis-tail-loss": Scenario("Redis dies and its last seconds are gone", redis_tail_loss),
    "redis-stream-loss": Scenario("Redis loses one stream", redis_stream_loss),
    "redis-key-loss": Scenario("Redis loses the keys of a few tasks", redis_key_loss),
    "redis-stale-failover": Scenario(
        "a replica that was behind takes Redis's place", redis_stale_failover, replicated=True
    ),
    "redis-down-accept": Scenario("Redis is away, RabbitMQ takes the tasks", redis_down_accept),
    "rabbitmq-restart": Scenario("RabbitMQ dies and comes back with its data", rabbitmq_restart),
    "rabbitmq-node-loss": Scenario(
        "RabbitMQ loses one of three nodes", rabbitmq_node_loss, clustered=True
    ),
    "rabbitmq-quorum-loss": Scenario(
        "RabbitMQ loses two of three nodes", rabbitmq_quorum_loss, clustered=True
    ),
    "rabbitmq-queue-full": Scenario(
        "RabbitMQ's queue takes no more for a while", rabbitmq_queue_full
    ),
    "rabbitmq-queue-deleted": Scenario(
        "RabbitMQ's queue is deleted, then Redis is wiped",
        rabbitmq_queue_deleted,
        2,
        takes_copies=True,
    ),
    "rabbitmq-alarm": Scenario("RabbitMQ takes nothing for want of memory", rabbitmq_alarm),
    "mongo-restart": Scenario(
        "MongoDB dies and comes back with its data", mongo_restart, needs_mongo=True
    ),
    "mongo-failover": Scenario(
        "MongoDB loses its primary three times",
        mongo_failover,
        TIMES,
        needs_mongo=True,
        electing=True,
    ),
    "worker-kill": Scenario("the worker dies with tasks running", worker_kill),
    "mirror-kill": Scenario("the mirror dies with copies to confirm", mirror_kill),
    "rehydrator-kill": Scenario(
        "Redis is wiped and those who bring it back die half-way", rehydrator_kill, 2
    ),
    "random": Scenario(
        "faults of every kind, two at once, chosen by the seed",
        random_faults,
        planned_faults=None,
        networked=True,
    ),
}
