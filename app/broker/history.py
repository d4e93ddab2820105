"""How far one queue's history in Redis got, and what is noted when some of it was lost or none."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys


@dataclass(frozen=True, slots=True)
class Sight:
    """A queue's history now.

    ``previous`` is the token of the generation before this one, empty: Redis knew none. ``streams``
    has (last id, entries ever added) of those that are there, by the last part of their keys.
    """

    previous: str
    pending: bool
    watermark: str | None
    streams: Mapping[str, tuple[str, int]]


async def sight(redis: RedisConnection, keys: QueueKeys, token: str) -> Sight:
    """Look at the history.

    Raises:
        StaleGeneration: it is another one.
        Unavailable: Redis is away.
    """
    names = [keys.journal, *keys.lanes]
    previous, pending, watermark, *marks = await redis.script(
        "sight", [keys.generation, keys.mirror, *names], [token]
    )
    return Sight(
        previous=previous.decode(),
        pending=pending == 1,
        watermark=watermark.decode() or None,
        streams={
            name.removeprefix(keys.prefix): (mark[0].decode(), mark[1])
            for name, mark in zip(names, marks, strict=True)
            if mark
        },
    )


async def pend(redis: RedisConnection, keys: QueueKeys, token: str) -> None:
    """Note that copies must be looked at in this generation; ``complete`` ends it."""
    await redis.script("pend", [keys.generation], [token])


async def keep_since(redis: RedisConnection, keys: QueueKeys, token: str) -> int:
    """Note that nothing was lost since the generation before; since when (ms) ids are known."""
    return int(await redis.script("keep_since", [keys.generation], [token]))
