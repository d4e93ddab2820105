"""Subscriptions that outlive a lost connection.

What was announced in between is lost: an announcement only wakes, so whoever follows also looks by
the clock.
"""

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from app.broker.connection import RedisConnection
from app.lifecycle import asked_to_stop

log = logging.getLogger(__name__)

LISTEN_S = 2.0
RECONNECT_S = 0.5


async def follow(redis: RedisConnection, pattern: str, told: Callable[[str, str], None]) -> None:
    """Call ``told(channel, text)`` for each announcement; reconnects until cancelled."""
    while not asked_to_stop():
        try:
            await _listen(redis, pattern, told)
        # A RuntimeError is uvloop's word for a socket that was closed meanwhile.
        except (RedisError, OSError, RuntimeError, TimeoutError) as error:
            log.debug("The subscription to %s was lost: %s", pattern, error)
            await asyncio.sleep(RECONNECT_S)


async def _listen(redis: RedisConnection, pattern: str, told: Callable[[str, str], None]) -> None:
    async with redis.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.psubscribe(pattern)
        # redis-py may swallow a cancellation (see app.broker.connection).
        while not asked_to_stop():
            message = await pubsub.get_message(timeout=LISTEN_S)
            if message is not None and message["type"] == "pmessage":
                told(message["channel"].decode(), message["data"].decode())
