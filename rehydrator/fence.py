"""Fences: marks of one's own, published behind everything that must have been looked at (rule 11).

A fence counts for one opening of the source alone: with a connection, whatever was held on it went
back into the queue, maybe behind the fence.
"""

import logging
import time
from collections.abc import Mapping
from typing import Final

from app.amqp.message import fence_publication
from app.clock import now_ms
from app.crashing import NOWHERE, CrashPoints
from app.names import new_token
from mirror.publisher import Publisher, PublishOutcome
from rehydrator.redis_queue import RedisQueue

log = logging.getLogger(__name__)

PUBLISH_WITHIN_MS: Final = 2_000
OVERDUE_S: Final = 10.0
"""Without a sign of it for so long another one is published: somebody may have acked ours."""


class Fences:
    """The fences of one opening; only the last one counts.

    ``tokens`` are the generations in force when it was made.
    """

    def __init__(self, publisher: Publisher, queue: str, crashes: CrashPoints = NOWHERE) -> None:
        self._publisher = publisher
        self._crashes = crashes
        self._queue = queue
        self._current = ""
        self._moved_s = 0.0
        self.waiting = False
        self.seen = False
        self.tokens: Mapping[RedisQueue, str] = {}

    async def publish(self, tokens: Mapping[RedisQueue, str]) -> None:
        """Put a mark at the end of the queue; from now on it alone is awaited."""
        self._current = new_token()
        self.tokens = dict(tokens)
        self.seen = False
        self.waiting = True
        self.moved()
        self._crashes.reach("rehydrator.before_fence")
        fence = fence_publication(self._queue, self._current, now_ms() // 1_000)
        (outcome,) = await self._publisher.publish([fence], PUBLISH_WITHIN_MS)
        self._crashes.reach("rehydrator.after_fence")
        if outcome is not PublishOutcome.CONFIRMED:
            # It may come nevertheless; else it will be overdue.
            log.warning("The broker did not confirm a fence of %s (%s).", self._queue, outcome)

    def note(self, fence_id: str) -> bool:
        """A fence was received; whether it is the awaited one."""
        if not self.waiting or fence_id != self._current:
            return False
        self.waiting, self.seen = False, True
        return True

    def done(self) -> None:
        """What the fence was for is done."""
        self.seen = False

    def moved(self) -> None:
        """Something arrived: the fence is not overdue yet."""
        self._moved_s = time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the awaited fence seems lost."""
        return self.waiting and time.monotonic() - self._moved_s > OVERDUE_S
