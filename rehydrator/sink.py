"""A connection whose deliveries never reach aiormq: they are taken as they come off the socket.

aiormq 7.2.4 spends some 90 µs on a delivery: three frames awaited and decoded one by one, a queue
and a task. It lets its owner make the transport (``TransportFactory``), and reads frames from the
``StreamReader`` that comes with it: ours hands on everything but the deliveries.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, SupportsIndex, cast

import aio_pika
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from yarl import URL

from rehydrator.frames import HEARTBEAT, BrokenFrames, Frames, Sink

SIGN_OF_LIFE_S: Final = 1.0


class DeliveryReader(asyncio.StreamReader):
    """What a connection receives, without the deliveries of the channels that have a sink.

    A broker that is busy sends no heartbeats, and aiormq counts the seconds without a frame: what
    was taken out is replaced by a heartbeat now and then, and so is what is not read in a pause.
    That the broker has gone is noticed in a pause only where nothing can be sent to it either.
    """

    def __init__(
        self,
        sinks: Mapping[int, Sink],
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(loop=loop)
        self._frames = Frames(sinks)
        self._clock = clock
        self._sign_at_s = 0.0
        self._broken = False
        self._loop_of_signs = loop
        self._pause: asyncio.TimerHandle | None = None
        self._socket: asyncio.BaseTransport | None = None

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._socket = transport
        super().set_transport(transport)

    def pause(self) -> None:
        """Receive nothing until ``resume``: what was sent waits in the sockets."""
        if self._pause is None and self._is_open():
            cast(asyncio.ReadTransport, self._socket).pause_reading()
            self._keep_up()

    def resume(self) -> None:
        """Receive again."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            if self._is_open():
                cast(asyncio.ReadTransport, self._socket).resume_reading()

    def _keep_up(self) -> None:
        if not self._is_open():
            return
        super().feed_data(HEARTBEAT)
        self._pause = self._loop_of_signs.call_later(SIGN_OF_LIFE_S, self._keep_up)

    def _is_open(self) -> bool:
        return self._socket is not None and not self._socket.is_closing()

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """The transport received something."""
        if self._broken:
            return
        try:
            others = self._frames.feed(bytes(data))
        except BrokenFrames as error:
            self._broken = True
            self.set_exception(InvalidFrameError(str(error)))
            return
        if not others and (now_s := self._clock()) >= self._sign_at_s:
            self._sign_at_s = now_s + SIGN_OF_LIFE_S
            others = HEARTBEAT
        super().feed_data(others)

    def feed_eof(self) -> None:
        """The transport received the end."""
        if self._pause is not None:
            self._pause.cancel()
        if rest := self._frames.cut_off():
            super().feed_data(rest)
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        """The transport is broken."""
        if self._pause is not None:
            self._pause.cancel()
        super().set_exception(exc)


class SinkTransport(TransportFactory):
    """Opens a socket as aiormq's own factories do, with a ``DeliveryReader`` on it."""

    def __init__(self, sinks: Mapping[int, Sink]) -> None:
        self._sinks = sinks
        self.reader: DeliveryReader | None = None

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See ``TransportFactory``."""
        provider = kwargs.pop("ssl_context_provider")
        ssl = await provider.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        reader = self.reader = DeliveryReader(self._sinks, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, str(url.host), url.port or 0, ssl=ssl, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class SinkConnection(aio_pika.Connection):
    """``sinks``: who takes the deliveries of a channel, by its number, set before it consumes.

    Every other channel is served by aiormq as ever.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.sinks: dict[int, Sink] = {}
        self._transport_factory = SinkTransport(self.sinks)
        self.kwargs["transport_factory"] = self._transport_factory

    def pause_reading(self) -> None:
        """Leave what the broker sends in the sockets; also its answers on all channels."""
        if (reader := self._transport_factory.reader) is not None:
            reader.pause()

    def resume_reading(self) -> None:
        """Read on."""
        if (reader := self._transport_factory.reader) is not None:
            reader.resume()
