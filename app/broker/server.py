"""What Redis says of itself, for those who judge whether it may be trusted with work."""

from dataclasses import dataclass

from app.broker.connection import RedisConnection


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One server; sizes in bytes, ``memory_max`` 0 = no limit, ``now_ms`` by its own clock."""

    version: str
    role: str
    eviction: str
    memory: int
    memory_max: int
    evicted: int
    append_only: bool
    append_only_ok: bool
    cluster: bool
    now_ms: int


async def read_redis(redis: RedisConnection) -> RedisFacts:
    """Ask the server.

    Raises:
        Unavailable: Redis is away, or does not let us ask.
    """
    said = await redis.info()
    return RedisFacts(
        version=str(said.get("redis_version", "0")),
        role=str(said.get("role", "")),
        eviction=str(said.get("maxmemory_policy", "")),
        memory=int(said.get("used_memory", 0)),
        memory_max=int(said.get("maxmemory", 0)),
        evicted=int(said.get("evicted_keys", 0)),
        append_only=bool(int(said.get("aof_enabled", 0))),
        append_only_ok=said.get("aof_last_write_status", "ok") == "ok",
        cluster=bool(int(said.get("cluster_enabled", 0))),
        now_ms=await redis.now_ms(),
    )
