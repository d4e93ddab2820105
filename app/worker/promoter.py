"""Moves delayed tasks to ready when their time has come, by Redis's clock."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from app.clock import monotonic_ms
from app.errors import StaleGeneration, Unavailable
from app.worker.claim import QueueWork

log = logging.getLogger(__name__)

TASKS_A_CALL: Final = 200
LOOK_AGAIN_MS: Final = 250
"""At the latest: a task put off meanwhile may be due sooner than all others."""
SOONEST_MS: Final = 5


class Promoter:
    """One loop for all queues; every worker runs it, each task is promoted once."""

    def __init__(self, works: Sequence[QueueWork]) -> None:
        """``works`` grows as queues are found."""
        self._works = works

    async def run(self) -> None:
        """Promote until cancelled."""
        while True:
            began_ms = monotonic_ms()
            wait_ms = LOOK_AGAIN_MS
            for work in tuple(self._works):
                wait_ms = min(wait_ms, await self._promote(work))
            # The more queues there are, the longer a round takes: at most half of the time.
            took_ms = monotonic_ms() - began_ms
            await asyncio.sleep(max(SOONEST_MS, wait_ms, took_ms) / 1000)

    async def _promote(self, work: QueueWork) -> int:
        """Promote what is due; ms until it is worth looking again."""
        token = ""
        try:
            token = await work.learn()
            ids, next_ms = await work.delivery.due(token, TASKS_A_CALL)
            if ids:
                replies = await work.delivery.promote(token, ids)
                for task_id, reply in zip(ids, replies, strict=True):
                    if reply < 0:
                        log.warning(
                            "Delayed task %s had lost its content in Redis; its copy in RabbitMQ"
                            " brings it back.",
                            work.name.task(task_id).full,
                        )
        except StaleGeneration:
            work.forget(token)
            return LOOK_AGAIN_MS
        except Unavailable as error:
            log.debug("Nothing can be promoted: %s", error)
            return LOOK_AGAIN_MS
        if len(ids) == TASKS_A_CALL:
            return 0
        return LOOK_AGAIN_MS if next_ms is None else next_ms
