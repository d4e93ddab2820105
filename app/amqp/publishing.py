"""Publishing one message with a confirm, over aio-pika's public interface alone."""

import asyncio
from enum import StrEnum

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError

from app.amqp.connection import broker_errors
from app.amqp.message import Publication
from app.amqp.table import headers_of
from app.errors import Unavailable
from app.names import new_token


class PublishOutcome(StrEnum):
    """Only ``CONFIRMED`` means that the broker has the message."""

    CONFIRMED = "confirmed"
    """Basic.Ack: a majority of the queue's members has it on disk."""
    RETURNED = "returned"
    """No queue is bound for it; the broker does not have it."""
    REFUSED = "refused"
    """Basic.Nack: the broker did not take it."""
    UNKNOWN = "unknown"
    """No answer in time or a lost connection: it may be there, now or later."""


async def publish(
    channel: AbstractChannel, publication: Publication, deadline: float
) -> PublishOutcome:
    """Publish ``publication`` as mandatory; never raises for the broker's troubles.

    The channel must raise what is returned (aio-pika's ``on_return_raises``); ``deadline`` is the
    loop's time.
    """
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
        headers=headers_of(publication.headers),
        content_type=publication.content_type,
        delivery_mode=publication.delivery_mode,
        correlation_id=publication.correlation_id,
        message_id=new_token(),
        timestamp=publication.timestamp_s,
        type=publication.type,
        app_id=publication.app_id,
    )
