"""The plain path to the broker: aio-pika's own publish, one task and one write a message."""

import asyncio
from collections.abc import Sequence

from app.amqp.connection import broker_errors
from app.amqp.link import Link
from app.amqp.message import Publication
from app.amqp.publishing import PublishOutcome, publish
from app.errors import Unavailable


class PlainPublisher:
    """``Publisher`` over aio-pika's public interface alone: slow, and simple to trust."""

    def __init__(self, url: str, process: str) -> None:
        self._link = Link(url, process, returns_raise=True)
        self._link.start()

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
        deadline = asyncio.get_running_loop().time() + deadline_ms / 1000
        try:
            with broker_errors():
                async with asyncio.timeout_at(deadline):
                    channel = await self._link.channel()
        except Unavailable:
            return [PublishOutcome.UNKNOWN] * len(batch)
        outcomes = await asyncio.gather(*(publish(channel, each, deadline) for each in batch))
        if PublishOutcome.REFUSED in outcomes:
            self._link.refused(channel)
        return outcomes

    async def close(self) -> None:
        """See ``Publisher``."""
        await self._link.close()
