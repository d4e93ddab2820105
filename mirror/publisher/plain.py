"""The plain path to the broker: aio-pika's own publish, one task and one write a message."""

import asyncio
from collections.abc import Sequence

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError

from app.amqp.connection import broker_errors
from app.amqp.link import Link
from app.amqp.message import Publication
from app.errors import Unavailable
from app.names import new_token
from mirror.publisher.outcome import PublishOutcome


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
        return await asyncio.gather(*(_publish(channel, each, deadline) for each in batch))

    async def close(self) -> None:
        """See ``Publisher``."""
        await self._link.close()


async def _publish(
    channel: AbstractChannel, publication: Publication, deadline: float
) -> PublishOutcome:
    try:
        with broker_errors():
            async with asyncio.timeout_at(deadline):
                exchange = await _exchange(channel, publication.exchange)
                await exchange.publish(
                    _message(publication), publication.routing_key, mandatory=True
                )
    except Unavailable as error:
        return _outcome(error.__cause__)
    return PublishOutcome.CONFIRMED


def _outcome(cause: BaseException | None) -> PublishOutcome:
    if isinstance(cause, PublishError):
        return PublishOutcome.RETURNED
    if isinstance(cause, DeliveryError):
        return PublishOutcome.REFUSED
    return PublishOutcome.UNKNOWN


async def _exchange(channel: AbstractChannel, name: str) -> AbstractExchange:
    return await channel.get_exchange(name, ensure=False) if name else channel.default_exchange


def _message(publication: Publication) -> Message:
    return Message(
        publication.body,
        headers=dict(publication.headers),
        content_type=publication.content_type,
        delivery_mode=publication.delivery_mode,
        correlation_id=publication.correlation_id,
        message_id=new_token(),
        timestamp=publication.timestamp_s,
        type=publication.type,
        app_id=publication.app_id,
    )
