"""Following the mirrors' watermarks: who announces, who holds the journal, is the broker there.

An announcement only wakes; what it means is read from the tasks' marks (design rule 3).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from redis.exceptions import RedisError

from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.lifecycle import asked_to_stop
from app.names import QueueName

log = logging.getLogger(__name__)

LISTEN_S = 2.0
RECONNECT_S = 0.5


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
        while not asked_to_stop():
            try:
                await self._listen(told)
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("The subscription to the watermarks was lost: %s", error)
                await asyncio.sleep(RECONNECT_S)

    async def _listen(self, told: Callable[[str, str], None]) -> None:
        async with self._redis.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.psubscribe(self._pattern)
            # redis-py may swallow a cancellation (see app.broker.connection).
            while not asked_to_stop():
                message = await pubsub.get_message(timeout=LISTEN_S)
                if message is not None and message["type"] == "pmessage":
                    told(message["channel"].decode(), message["data"].decode())
