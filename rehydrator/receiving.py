"""How deliveries come in: two paths behind one interface.

``sink`` is the fast one (``rehydrator.sink``); ``plain`` is aiormq as it comes, and shows what the
other must do.
"""

from collections.abc import Callable
from typing import Literal, Protocol, cast

from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq.abc import DeliveredMessage

from app.amqp.connection import open_connection
from rehydrator.properties import Properties
from rehydrator.sink import SinkConnection

Kind = Literal["sink", "plain"]
Header = bytes | Properties
"""Of a delivery: the payload of its content header, or what was read of it."""
Take = Callable[[int, bool, Header, bytes], None]
"""Called with each delivery: its tag, whether it is redelivered, its header, its body."""


class Receiving(Protocol):
    """One connection whose channels consume."""

    @property
    def connection(self) -> AbstractConnection:
        """The connection; its owner closes it."""
        ...

    async def consume(self, channel: Channel, queue: str, take: Take) -> str:
        """Have everything delivered on ``channel`` taken; returns the consumer's tag."""
        ...

    def pause(self) -> None:
        """Read nothing for a while: the broker keeps what does not fit into the sockets."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...


async def open_receiving(kind: Kind, url: str, process: str) -> Receiving:
    """Connect.

    Raises:
        Unavailable: the broker is away.
    """
    if kind == "sink":
        connection = await open_connection(url, process, SinkConnection)
        return SinkReceiving(cast(SinkConnection, connection))
    return PlainReceiving(await open_connection(url, process))


class SinkReceiving:
    """Deliveries are taken beneath aiormq, which sees none of them."""

    def __init__(self, connection: SinkConnection) -> None:
        self.connection = connection

    async def consume(self, channel: Channel, queue: str, take: Take) -> str:
        """See ``Receiving``."""
        self.connection.sinks[channel.number] = take
        started = await channel.basic_consume(queue, _unreached)
        return started.consumer_tag or ""

    def pause(self) -> None:
        """See ``Receiving``."""
        self.connection.pause_reading()

    def resume(self) -> None:
        """See ``Receiving``."""
        self.connection.resume_reading()


class PlainReceiving:
    """A call of aiormq's, in a task of its own, for each delivery."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection

    async def consume(self, channel: Channel, queue: str, take: Take) -> str:
        """See ``Receiving``."""

        async def receive(message: DeliveredMessage) -> None:
            tag, found = cast(int, message.delivery_tag), message.header.properties
            properties = Properties(found.headers or {}, found.message_type, found.message_id)
            take(tag, bool(message.redelivered), properties, bytes(message.body))

        started = await channel.basic_consume(queue, receive)
        return started.consumer_tag or ""

    def pause(self) -> None:
        """Does nothing: aiormq reads all it can get, the window alone is a bound."""

    def resume(self) -> None:
        """Has nothing to do."""


async def _unreached(message: DeliveredMessage) -> None:
    raise AssertionError(f"delivery {message.delivery_tag} passed by its sink")
