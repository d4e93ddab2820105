"""Whether Redis takes work: a ping answers on a server that refuses every write."""

from app.broker.connection import RedisConnection

LIVES_MS = 1_000


async def probe_writes(redis: RedisConnection, env: str, tenant: str) -> None:
    """Write one short-lived key.

    Raises:
        Unavailable: Redis is away or refuses writes (full, read-only, loading).
    """
    await redis.script("probe", [f"lb:{{{env}.{tenant}}}:probe"], [LIVES_MS])
