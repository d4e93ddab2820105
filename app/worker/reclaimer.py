"""Takes over entries whose worker was silent for a lease. No lock: any worker may."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from app.errors import StaleGeneration, Unavailable
from app.worker.admission import Admission
from app.worker.claim import QueueWork, lease_deadline_ms
from app.worker.slots import Slots

log = logging.getLogger(__name__)

LOOKS_A_LEASE: Final = 2
LANES: Final = (1, 2, 3)
START: Final = "0-0"


class Reclaimer:
    """Looks twice a lease, as far as there is room."""

    def __init__(
        self,
        works: Sequence[QueueWork],
        slots: Slots,
        admission: Admission,
        consumer: str,
        *,
        lease_ms: int,
    ) -> None:
        """``works`` grows as queues are found."""
        self._works = works
        self._slots = slots
        self._admission = admission
        self._consumer = consumer
        self._lease_ms = lease_ms

    async def run(self) -> None:
        """Reclaim until cancelled."""
        while True:
            await asyncio.sleep(self._lease_ms / LOOKS_A_LEASE / 1000)
            for work in tuple(self._works):
                await self._reclaim(work)

    async def _reclaim(self, work: QueueWork) -> None:
        token = ""
        try:
            token = await work.learn()
            for lane in LANES:
                await self._reclaim_lane(work, token, lane)
        except StaleGeneration:
            work.forget(token)
        except Unavailable as error:
            # What a lost reply brought is ours now without our knowing.
            work.reread = True
            log.debug("Nothing can be reclaimed: %s", error)

    async def _reclaim_lane(self, work: QueueWork, token: str, lane: int) -> None:
        cursor = START
        while (room := self._slots.room) > 0:
            deadline_ms = lease_deadline_ms(self._lease_ms)
            cursor, entries = await work.delivery.reclaim(
                token, self._consumer, lane, self._lease_ms, room, cursor
            )
            # Our own late ones come back too; they are ours already.
            taken = [entry for entry in entries if not work.knows(token, entry)]
            if taken:
                log.info("Took over %d tasks of %s from a silent worker.", len(taken), work.name)
                self._admission.take_in(work, token, taken, deadline_ms)
            if cursor == START:
                return
