"""What can be done to servers that somebody else runs, from outside and without harm to data."""

from typing import Final
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.drill.game import ALL_KINDS, Game
from app.drill.given import GivenStack
from app.drill.scenarios import SCENARIOS, Scenario
from app.stack.process import StackError, until

PAUSE_MS: Final = 5_000
ANSWERS_WITHIN_MS: Final = 15_000
SEEN_WITHIN_MS: Final = 20_000
CLIENT: Final = "lifeboat"
"""How the connections of Lifeboat's processes are named in Redis."""
SPARED: Final = "lifeboat-rehydrator"
"""It takes a closed connection for an operator's wish and stays away for minutes."""


def _given(game: Game) -> GivenStack:
    if not isinstance(game.stack, GivenStack):
        raise StackError("This scenario is played on given servers alone.")
    return game.stack


async def keys_gone(game: Game, share: int) -> None:
    """Half-way: all keys of the drill's env are removed from Redis, then rehydrate."""
    stack = _given(game)
    in_flight = await game.at_work(share, ALL_KINDS)

    async def remove() -> None:
        removed = await stack.given_redis.forget_env(stack.env)
        if not removed:
            raise StackError(f"There were no keys of the env {stack.env} to remove.")
        game.say(f"Removed {removed:,} keys of the env {stack.env}.")

    await game.inject("the env's keys removed from redis", in_flight, remove)
    await game.rehydrate()


async def redis_paused(game: Game, share: int) -> None:
    """Half-way: Redis answers nobody for a while, by CLIENT PAUSE."""
    stack = _given(game)
    in_flight = await game.at_work(share)

    async def pause() -> None:
        async with Redis.from_url(stack.redis.url) as client:
            await client.client_pause(PAUSE_MS)
        await until(lambda: _answers(stack.redis.url), ANSWERS_WITHIN_MS, "redis to answer again")

    await game.inject("redis paused for all its clients", in_flight, pause)


async def connections_cut(game: Game, share: int) -> None:
    """Half-way: the connections to Redis and to the drill's vhost are closed by the servers."""
    stack = _given(game)
    # A broker lists a new connection some seconds late: wait before there is work to miss.
    await until(lambda: _has_connections(stack), SEEN_WITHIN_MS, "RabbitMQ to list connections")
    in_flight = await game.at_work(share)

    async def cut() -> None:
        redis, rabbitmq = await _kill_clients(stack.redis.url), await _close_connections(stack)
        if not (redis and rabbitmq):
            raise StackError(
                f"Only {redis} connections to Redis and {rabbitmq} to RabbitMQ were there to close."
            )
        game.say(f"Closed {redis} connections to Redis and {rabbitmq} to RabbitMQ.")

    await game.inject("connections to redis and rabbitmq cut", in_flight, cut)


async def _answers(url: str) -> bool:
    try:
        async with Redis.from_url(url, socket_timeout=1) as client:
            return bool(await client.ping())
    except (RedisError, OSError):
        return False


async def _kill_clients(url: str) -> int:
    """Have Redis close the connections of all Lifeboat processes; how many."""
    async with Redis.from_url(url) as client:
        found = [each["id"] for each in await client.client_list() if each["name"] == CLIENT]
        return sum([int(await client.client_kill_filter(_id=each)) for each in found])


async def _has_connections(stack: GivenStack) -> bool:
    return bool(await _connections(stack))


async def _connections(stack: GivenStack) -> list[str]:
    """Names of those of the drill's vhost, the rehydrator's apart."""
    found = await stack.rabbitmq.manage("GET", f"/api/vhosts/{stack.vhost}/connections")
    return [
        each["name"]
        for each in found
        if not each.get("client_properties", {}).get("connection_name", "").startswith(SPARED)
    ]


async def _close_connections(stack: GivenStack) -> int:
    """Have RabbitMQ close them; how many."""
    names = await _connections(stack)
    for name in names:
        await stack.rabbitmq.manage("DELETE", f"/api/connections/{quote(name, safe='')}")
    return len(names)


ON_GIVEN: Final = {
    "redis-wipe": Scenario("Redis loses all keys of the drill's env", keys_gone),
    "redis-pause": Scenario("Redis answers nobody for some seconds", redis_paused),
    "connections-cut": Scenario("all connections are cut at once", connections_cut),
    **{name: SCENARIOS[name] for name in ("worker-kill", "mirror-kill")},
}
BROKEN: Final = {
    "redis-wipe": "Nothing of others is touched: only keys of the drill's own env are removed.",
    "redis-pause": f"Redis answers NO client for {PAUSE_MS // 1000} s, not those of others either.",
    "connections-cut": "The connections of ALL Lifeboat processes to this Redis are closed, those"
    " of other envs included; of RabbitMQ only those of the drill's own vhost.",
    "worker-kill": "Only the drill's own worker process is killed.",
    "mirror-kill": "Only the drill's own mirror process is killed.",
}
"""What each does to a server beyond its load."""
TAKES: Final = {
    "redis-restart": "Redis's process",
    "redis-down-accept": "Redis's process",
    "redis-tail-loss": "Redis's process and its append-only file",
    "redis-stale-failover": "a replica to put in Redis's place",
    "rabbitmq-restart": "RabbitMQ's process",
    "rabbitmq-alarm": "rabbitmqctl on RabbitMQ's machine",
    "rabbitmq-node-loss": "the processes of RabbitMQ's nodes",
    "rabbitmq-quorum-loss": "the processes of RabbitMQ's nodes",
    "mongo-restart": "MongoDB's process",
    "mongo-failover": "the processes of MongoDB's members",
}
"""What those take that cannot be done from outside."""


def why_not(scenario: str) -> str:
    """Why one that private servers can play is refused on given ones."""
    return (
        f"{scenario} takes {TAKES.get(scenario, 'servers of its own')}, which cannot be had from"
        f" outside. On given servers choose one of {', '.join(ON_GIVEN)}."
    )
