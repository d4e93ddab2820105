"""Following the mirrors' watermarks: who announces, who holds the journal, is the broker there.

An announcement only wakes; what it means is read from the tasks' marks (rule 3).
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.broker.announcements import follow
from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.names import QueueName


@dataclass(frozen=True, slots=True)
class MirrorState:
    """The journal's keeper. ``led``: one has been seen; ``alive``: its lease is valid now."""

    led: bool
    alive: bool
    blocked: bool
    journal_length: int


async def read_mirror_state(redis: RedisConnection, keys: QueueKeys, token: str) -> MirrorState:
    """How the mirror of one queue stands."""
    names = [keys.generation, keys.mirror, keys.mirror_lease, keys.journal]
    led, alive, blocked, length = await redis.script("mirror_state", names, [token])
    return MirrorState(led == 1, alive == 1, blocked == 1, length)


class Watermarks:
    """One subscription to the watermarks of all queues of a tenant."""

    def __init__(self, redis: RedisConnection, env: str, tenant: str) -> None:
        self._redis = redis
        # Names hold no character that a pattern would read as its own.
        self._pattern = QueueKeys(env, QueueName(tenant, "*")).watermark_channel

    async def follow(self, told: Callable[[str, str], None]) -> None:
        """Call ``told(channel, watermark)`` for each announcement; reconnects until cancelled."""
        await follow(self._redis, self._pattern, told)
