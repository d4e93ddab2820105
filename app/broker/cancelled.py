"""Following the cancels of running tasks.

An announcement only wakes: whether a mark is on a task is read when its lease is renewed.
"""

from collections.abc import Callable

from app.broker.announcements import follow
from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.names import QueueName


class CancelledTasks:
    """One subscription to all queues of an env."""

    def __init__(self, redis: RedisConnection, env: str) -> None:
        self._redis = redis
        # Names hold no character that a pattern would read as its own.
        self._pattern = QueueKeys(env, QueueName("*", "*")).cancelled_channel

    async def follow(self, told: Callable[[str, str], None]) -> None:
        """Call ``told(channel, task id)`` for each announcement; reconnects until cancelled.

        ``channel`` is the queue's ``QueueKeys.cancelled_channel``.
        """
        await follow(self._redis, self._pattern, told)
