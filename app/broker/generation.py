"""The generation: which history Redis has. Whoever acts on Redis attaches first (rule 1)."""

from dataclasses import dataclass

from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.names import new_token


@dataclass(frozen=True, slots=True)
class Generation:
    """One history of one queue in Redis.

    ``token`` goes with every fact learnt from this Redis; scripts refuse another. ``since_ms`` is
    when it began (a loss, a restart, a failover, or the first use). ``paused`` is None while the
    flag is not loaded from the ledger. ``pending`` means that not every copy in RabbitMQ has been
    looked at since.
    """

    token: str
    since_ms: int
    ledger: str
    paused: bool | None
    pending: bool


async def attach(
    redis: RedisConnection, keys: QueueKeys, ledger: str = "", *, adopt: bool = False
) -> Generation:
    """Learn the generation in force, starting a new one if Redis lost or changed its history.

    ``ledger`` is the ledger's identity, empty while it is away.

    Raises:
        LedgerMismatch: Redis remembers another ledger.
        Unavailable: Redis is away.
    """
    reply = await redis.script(
        "attach", [keys.generation], [new_token(), ledger, "1" if adopt else "0"]
    )
    token, since, known_ledger, paused, pending = (part.decode() for part in reply)
    return Generation(
        token=token,
        since_ms=int(since),
        ledger=known_ledger,
        paused=None if paused == "" else paused == "1",
        pending=pending == "1",
    )


async def load_paused(redis: RedisConnection, keys: QueueKeys, token: str, *, paused: bool) -> bool:
    """Bring the pause flag from the ledger into Redis; returns the flag in force."""
    flag = await redis.script("load_paused", [keys.generation], [token, int(paused)])
    return bool(flag == b"1")


async def set_paused(redis: RedisConnection, keys: QueueKeys, token: str, *, paused: bool) -> None:
    """Stop or let go on the starting of tasks; only after the ledger has the flag.

    Once this has returned after ``paused=True``, no attempt starts: each start reads the flag.
    """
    await redis.script("set_paused", [keys.generation], [token, int(paused)])


async def complete(redis: RedisConnection, keys: QueueKeys, token: str) -> None:
    """Note that every copy up to a fence was looked at in this generation."""
    await redis.script("complete", [keys.generation], [token])
