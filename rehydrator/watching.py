"""The watch over what Redis has: each look is compared with the last one, which is in the ledger.

One watch per mirror queue, by the process that holds its lease. A loss is told once, and stays
noted until every copy was looked at; in between nobody says that a task is unknown.
"""

import logging
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from app.broker.history import Sight
from app.clock import now_ms
from app.errors import Unavailable
from app.ledger.records import Marks, StreamMark
from rehydrator.loss import JOURNAL, Found, Loss, classify, sentence
from rehydrator.redis_queue import RedisQueue, Stores

log = logging.getLogger(__name__)

ALERT: Final = "alert"
TASKS: Final = "tasks"
"""What is lost where held copies' tasks are gone and no stream tells why."""
NOTE_AGAIN_S: Final = 5.0
"""After the ledger did not answer: each try may take its whole deadline."""


class LossWatch:
    """What was last seen of each queue. ``forget`` it with the lease."""

    def __init__(self, stores: Stores) -> None:
        self._ledger = stores.ledger
        self._crashes = stores.crashes
        self._losses = stores.metrics.redis_losses
        self._alert = stores.settings.loss_policy == ALERT
        self._known: dict[RedisQueue, Marks] = {}
        self._unnoted: set[RedisQueue] = set()
        self._unjournaled: set[RedisQueue] = set()
        self._note_at_s = 0.0

    def forget(self) -> None:
        """Another process may have looked since: the ledger knows."""
        self._known.clear()
        self._unnoted.clear()
        self._unjournaled.clear()

    def holds_back(self, queue: RedisQueue) -> bool:
        """Whether nothing of the queue may be brought back until a person has it done."""
        known = self._known.get(queue)
        return self._alert and known is not None and known.loss is not None

    async def look(self, queue: RedisQueue) -> tuple[bool, bool]:
        """Look at one queue, note how far it got, and act on a loss.

        Returns whether its copies must all be looked at, and whether that is because something was
        lost just now within the generation: then what is held counts for nothing.

        Raises:
            StaleGeneration: Redis has another history.
            Unavailable: Redis is away, or the ledger while it is needed.
        """
        token = await queue.session.token()
        seen = await queue.sight(token)
        known = await self._last(queue)
        now = _marks(queue, token, seen)
        loss = classify(known, Found(token, seen.previous, seen.watermark, now.streams))
        within = known is not None and known.token == token
        if loss.kind != "same":
            await self._tell(queue, token, now, loss)
            return not self._alert, within and not self._alert
        if known is not None and not within and seen.previous == known.token:
            await queue.keep_since(token)
        if known is not None and known.loss is not None and seen.pending:
            now = replace(now, loss=known.loss, lost=known.lost)
        await self._note(queue, now)
        await self._journal_again(queue, token)
        return seen.pending and not self.holds_back(queue), False

    async def miss(self, queues: Collection[RedisQueue]) -> None:
        """Tasks that were there are gone, within a generation. Raises as ``look`` does."""
        for queue in queues:
            _, found = await self.look(queue)
            if found or self.holds_back(queue):
                continue
            token = await queue.session.token()
            now = _marks(queue, token, await queue.sight(token))
            await self._tell(queue, token, now, Loss("key_lost", (TASKS,)))

    async def healed(self, queue: RedisQueue) -> None:
        """Every copy was looked at."""
        known = self._known.get(queue)
        if known is not None and known.loss is not None:
            await self._note(queue, replace(known, loss=None, lost=()))

    async def _last(self, queue: RedisQueue) -> Marks | None:
        if queue not in self._known:
            recorded = await self._ledger.get_marks(queue.name.tenant, queue.name.queue)
            if recorded is None:
                return None
            self._known[queue] = recorded
            if recorded.loss is not None and JOURNAL in recorded.lost:
                # Whoever found it may not have come to the end.
                self._unjournaled.add(queue)
        return self._known[queue]

    async def _tell(self, queue: RedisQueue, token: str, now: Marks, loss: Loss) -> None:
        name = queue.name
        await queue.pend(token)
        self._crashes.reach("rehydrator.after_pend")
        self._losses.labels(name.tenant, name.queue, loss.kind).inc()
        then = (
            "LIFEBOAT_LOSS_POLICY is alert: nothing is brought back until somebody runs `lifeboat"
            f" rehydrate --queue {name.queue}`."
            if self._alert
            else "All its copies are looked at."
        )
        log.warning("%s %s", sentence(loss, f"{name.tenant}/{name.queue}"), then)
        if JOURNAL in loss.lost:
            self._unjournaled.add(queue)
        known = self._known.get(queue)
        lost = (*(known.lost if known is not None else ()), *loss.lost)
        await self._note(queue, replace(now, loss=loss.kind, lost=tuple(dict.fromkeys(lost))))
        self._crashes.reach("rehydrator.after_marks")
        await self._journal_again(queue, token)

    async def _journal_again(self, queue: RedisQueue, token: str) -> None:
        if queue not in self._unjournaled or self._alert:
            return
        journaled = await queue.journal_again(token)
        self._crashes.reach("rehydrator.after_rejournal")
        self._unjournaled.discard(queue)
        log.info("Journaled %d tasks of %s again.", journaled, queue.name.queue)

    async def _note(self, queue: RedisQueue, now: Marks) -> None:
        known = self._known.get(queue)
        is_noted = known is not None and replace(now, at_ms=known.at_ms) == known
        if is_noted and queue not in self._unnoted:
            return
        self._known[queue] = now
        self._unnoted.add(queue)
        if time.monotonic() < self._note_at_s:
            return
        try:
            await self._ledger.put_marks(now)
        except Unavailable as error:
            log.debug("What Redis has of %s was not noted (%s).", queue.name, error.detail)
            self._note_at_s = time.monotonic() + NOTE_AGAIN_S
        else:
            self._unnoted.discard(queue)


def _marks(queue: RedisQueue, token: str, seen: Sight) -> Marks:
    return Marks(
        tenant=queue.name.tenant,
        queue=queue.name.queue,
        token=token,
        watermark=seen.watermark,
        streams={name: StreamMark(last, added) for name, (last, added) in seen.streams.items()},
        at_ms=now_ms(),
    )
