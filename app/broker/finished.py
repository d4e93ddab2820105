"""Following the ends of tasks: what settling announces.

An announcement only wakes; how a task ended is read from the ledger.
"""

from collections.abc import Callable

from app.broker.announcements import follow
from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.names import QueueName


class FinishedTasks:
    """One subscription to the finished tasks of all queues of a tenant."""

    def __init__(self, redis: RedisConnection, env: str, tenant: str) -> None:
        self._redis = redis
        # Names hold no character that a pattern would read as its own.
        self._pattern = QueueKeys(env, QueueName(tenant, "*")).finished_channel

    async def follow(self, told: Callable[[str, list[str]], None]) -> None:
        """Call ``told(channel, task ids)`` for each announcement; reconnects until cancelled.

        ``channel`` is the queue's ``QueueKeys.finished_channel``. An id may be told twice.
        """
        await follow(
            self._redis, self._pattern, lambda channel, text: told(channel, text.split("\n"))
        )
