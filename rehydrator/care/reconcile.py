"""``reconcile``: compare the three stores, twice, and repair what stands in both looks if told so.

Between the looks the rehydrator works on, so what is in order a moment later is no finding.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from app.errors import StaleGeneration, Unavailable
from app.names import QueueName
from app.settings import Settings
from mirror.topology import Topology
from rehydrator.care.alone import alone
from rehydrator.care.comparison import Comparison, Look
from rehydrator.care.findings import MEANINGS, Finding, Name, counts, standing
from rehydrator.care.queues import queues_of
from rehydrator.care.repairs import Repaired, Repairs
from rehydrator.command import exclusive
from rehydrator.reaching import reach
from rehydrator.redis_queue import RedisQueues, Stores
from rehydrator.run import Incomplete
from rehydrator.source import CopySource
from rehydrator.stores import open_stores

log = logging.getLogger(__name__)

SHOWN_MAX: Final = 1_000
"""Findings listed one by one; the counts have them all."""
RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Waits:
    """How long for what; seconds."""

    between_s: float = 8.0
    """Between the two looks: the rehydrator needs some of it to take its work up again."""
    hand_over_s: float = 60.0
    stores_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What stood in two looks. ``problems``: sentences about what could not be compared."""

    found: tuple[Finding, ...] = ()
    repaired: frozenset[Finding] = frozenset()
    beyond: int = 0
    problems: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """Findings that are not repaired."""
        return len(set(self.found) - self.repaired) + self.beyond

    @property
    def complete(self) -> bool:
        """Whether everything was compared and nothing is left."""
        return not self.left and not self.problems

    def document(self) -> dict[str, Any]:
        """As the command prints it."""
        repaired = sorted(set(self.found) & self.repaired)
        return {
            "counts": counts(self.found),
            "repaired": counts(repaired),
            "left": self.left,
            "findings": [
                {
                    **each.document(),
                    "means": MEANINGS[each.name].means,
                    "repair": MEANINGS[each.name].repair,
                    "repaired": each in self.repaired,
                }
                for each in self.found[:SHOWN_MAX]
            ],
            "problems": list(self.problems),
        }


Told = Callable[[str], None]


async def reconcile(
    settings: Settings,
    told: Told,
    *,
    queue: str | None = None,
    repair: bool = False,
    waits: Waits | None = None,
) -> Reconciliation:
    """Compare all queues, or one; ``repair`` what stands.

    Raises:
        SettingsError: RabbitMQ or the ledger is not configured.
        RehydrationRunning: a rehydrate run, or another of this kind, is under way.
        UnknownQueue: there is no such queue.
        Fatal: a store is not the one it must be; nothing was done.
        Unavailable: a store cannot be reached.
    """
    waits = waits or Waits()
    async with AsyncExitStack() as closing:
        stores, topology = open_stores(settings, closing, process="reconcile")
        await reach(waits.stores_s, stores.ledger.open, stores.redis.ping, topology.declare)
        found: list[Finding] = []
        problems: list[str] = []
        repaired, beyond = Repaired(), 0
        async with exclusive(stores):
            for name, names in _by_name(await queues_of(stores.ledger, queue, None)).items():
                told(f"Comparing {name} ...")
                looks = _Looks(stores, topology, name, names, waits)
                try:
                    stands, more = await looks.both(told, repaired if repair else None)
                except Incomplete as incomplete:
                    problems.append(str(incomplete))
                else:
                    found += stands
                    beyond += more
        return Reconciliation(
            tuple(sorted(found)), frozenset(repaired.findings), beyond, tuple(problems)
        )


def _by_name(queues: Sequence[QueueName]) -> Mapping[str, list[QueueName]]:
    found: dict[str, list[QueueName]] = {}
    for each in queues:
        found.setdefault(each.queue, []).append(each)
    return found


class _Looks:
    """The two looks at one mirror queue."""

    def __init__(
        self,
        stores: Stores,
        topology: Topology,
        queue: str,
        names: Sequence[QueueName],
        waits: Waits,
    ) -> None:
        self._stores = stores
        self._topology = topology
        self._queue = queue
        self._waits = waits
        self._queues = RedisQueues(stores)
        for each in names:
            self._queues.of(each)

    async def both(self, told: Told, repaired: Repaired | None) -> tuple[list[Finding], int]:
        """What stands in two looks, and how many findings were beyond what is kept.

        Raises:
            Incomplete: the queue could not be looked at to the end.
        """
        first = await self._look(None, None)
        if first.is_clean:
            return [], 0
        told(f"Looking at {self._queue} again in {self._waits.between_s:.0f} s ...")
        await asyncio.sleep(self._waits.between_s)
        second = await self._look(first, repaired)
        return standing(first.found, second.found), min(first.beyond, second.beyond)

    async def _look(self, first: Look | None, repaired: Repaired | None) -> Look:
        deadline_s = time.monotonic() + self._waits.stores_s
        while True:
            try:
                await self._topology.declare(self._queue)
                async with alone(self._stores, self._queue, self._waits.hand_over_s):
                    return await self._compare(first, repaired)
            except StaleGeneration:
                # What was found until then is void.
                self._queues.forget()
            except Unavailable as error:
                if time.monotonic() > deadline_s:
                    raise Incomplete(
                        f"Queue {self._queue} was not compared: {error}. Run this again when it is"
                        " back."
                    ) from error
                await asyncio.sleep(RETRY_S)

    async def _compare(self, first: Look | None, repaired: Repaired | None) -> Look:
        source = await CopySource.open(
            self._stores.rabbitmq_url,
            self._queue,
            prefetch=self._stores.settings.rehydrator_window,
            process=f"reconcile-{self._queue}",
        )
        try:
            repairs = Repairs(self._stores, source, repaired) if repaired is not None else None
            comparison = Comparison(
                self._stores, self._queue, self._queues, source, first=first, repairs=repairs
            )
            return await comparison.run(self._waits.stores_s)
        finally:
            await source.hand_back()


__all__ = ["Name", "Reconciliation", "Waits", "reconcile"]
