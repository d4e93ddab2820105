"""The fast path to the broker: a batch is one write, and its confirms are counted."""

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from aio_pika.abc import AbstractChannel

from app.amqp.connection import broker_errors
from app.amqp.link import Link
from app.amqp.message import Publication
from app.crashing import NOWHERE, CrashPoints
from app.errors import Unavailable
from mirror.publisher.outcome import PublishOutcome
from mirror.publisher.wire import Seam, Tally, Wire

UNSETTLED_MAX: Final = 20_000


class BatchedPublisher:
    """``Publisher`` that writes to the channel itself (``mirror.publisher.wire``)."""

    def __init__(
        self,
        url: str,
        process: str,
        crashes: CrashPoints = NOWHERE,
        *,
        unsettled_max: int = UNSETTLED_MAX,
    ) -> None:
        """``unsettled_max``: messages on the wire that the broker has not answered, at the most."""
        self._crashes = crashes
        self._unsettled_max = unsettled_max
        self._link = Link(url, process, returns_raise=False)
        self._link.start()
        self._wire: Wire | None = None
        self._wired: Seam | None = None

    @property
    def connected(self) -> bool:
        """See ``Publisher``."""
        return self._link.connected

    @property
    def blocked(self) -> bool:
        """See ``Publisher``."""
        return self._link.blocked

    async def publish(self, batch: Sequence[Publication], deadline_ms: int) -> list[PublishOutcome]:
        """See ``Publisher``."""
        if not batch:
            return []
        tally: Tally | None = None
        channel: AbstractChannel | None = None
        try:
            with broker_errors():
                async with asyncio.timeout(deadline_ms / 1000):
                    channel = await self._link.channel()
                    wire = await self._wire_of(channel)
                    tally = wire.tally(len(batch))
                    await wire.send(batch, tally)
                    self._crashes.reach("mirror.after_publish")
                    await tally.settled
        except Unavailable:
            pass
        if tally is None or channel is None:
            return [PublishOutcome.UNKNOWN] * len(batch)
        # Made now: an answer after the deadline must not change what the caller was told.
        outcomes = tally.outcomes
        if PublishOutcome.REFUSED in outcomes:
            self._link.refused(channel)
        return outcomes

    async def close(self) -> None:
        """See ``Publisher``."""
        await self._link.close()

    async def _wire_of(self, channel: AbstractChannel) -> Wire:
        seam = cast(Seam, await channel.get_underlay_channel())
        if self._wire is None or self._wired is not seam:
            self._wire = Wire(seam, unsettled_max=self._unsettled_max)
            self._wired = seam
        return self._wire
