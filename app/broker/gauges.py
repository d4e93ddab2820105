"""Figures of one queue, all of them read from Redis at that moment."""

from dataclasses import dataclass

from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys

LOOKED_AT = 1_000
"""Journal entries looked at one by one, and bytes of their envelopes: Redis waits meanwhile."""
LOOKED_AT_BYTES = 1 << 20
RATE_WINDOW_S = 10


@dataclass(frozen=True, slots=True)
class Gauges:
    """One queue at ``now_ms``; ages in ms, None where nothing is old; rates over ten seconds."""

    now_ms: int
    scheduled: int
    queued: int
    running: int
    retrying: int
    oldest_queued_ms: int | None
    unmirrored: int
    oldest_unmirrored_ms: int | None
    accepted_per_second: float
    settled_per_second: float
    mirror: dict[str, str]


async def read_gauges(redis: RedisConnection, keys: QueueKeys, token: str) -> Gauges:
    """Read one queue's figures."""
    names = [
        keys.generation,
        keys.journal,
        *keys.lanes,
        keys.delayed,
        keys.retrying,
        keys.mirror,
        keys.rates,
    ]
    reply = await redis.script("depth", names, [token, LOOKED_AT, LOOKED_AT_BYTES])
    now, ready, taken, delayed, retrying, oldest, unmirrored, first, accepted, settled, flat = reply
    mirror = zip(flat[::2], flat[1::2], strict=True)
    return Gauges(
        now_ms=now,
        scheduled=max(0, delayed - retrying),
        queued=max(0, ready - taken),
        running=taken,
        retrying=min(retrying, delayed),
        oldest_queued_ms=_age(now, oldest),
        unmirrored=max(0, unmirrored),
        oldest_unmirrored_ms=_age(now, first),
        accepted_per_second=accepted / RATE_WINDOW_S,
        settled_per_second=settled / RATE_WINDOW_S,
        mirror={name.decode(): value.decode() for name, value in mirror},
    )


def _age(now_ms: int, stream_id: bytes) -> int | None:
    if not stream_id:
        return None
    return max(0, now_ms - int(stream_id.split(b"-")[0]))
