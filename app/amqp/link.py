"""A link: one connection with one confirming channel, opened anew whenever it is lost.

For publishing only. It hides that a connection was lost, which a consumer must see.
"""

import asyncio
import logging

from aio_pika.abc import AbstractChannel, AbstractConnection

from app.amqp.connection import (
    CONNECT_TIMEOUT_MS,
    broker_call,
    close_connection,
    describe,
    is_blocked,
    open_connection,
    underlay,
)
from app.errors import Unavailable
from app.lifecycle import cancel

log = logging.getLogger(__name__)

RETRY_MS = 500
REMIND_EVERY = 60


class Link:
    """Keeps itself open from ``start`` to ``close``; safe to share by the tasks of one loop."""

    def __init__(self, url: str, process: str, *, returns_raise: bool) -> None:
        """``process`` names the connection; ``returns_raise``: aio-pika's ``on_return_raises``."""
        self._url = url
        self._process = process
        self._returns_raise = returns_raise
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._changed = asyncio.Event()
        self._renewed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect, in the background; a second call does nothing."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"link {self._process}")

    @property
    def connected(self) -> bool:
        """Whether there is an open channel, as far as this side knows."""
        return self._channel is not None and not self._channel.is_closed

    @property
    def blocked(self) -> bool:
        """Whether the broker has an alarm and reads nothing this connection publishes."""
        connection = self._connection
        if connection is None or connection.transport is None:
            return False
        return is_blocked(connection.transport.connection)

    async def channel(self) -> AbstractChannel:
        """The open channel of a connection that is not blocked; waits for one without a deadline.

        Raises:
            Unavailable: the connection was lost just now.
        """
        while True:
            channel, connection = self._channel, self._connection
            if channel is None or connection is None or channel.is_closed:
                self._changed.clear()
                await self._changed.wait()
            elif is_blocked(underlay(connection)):
                # Nothing new is written into an alarm: it would only be published twice.
                await self._until_unblocked(channel, connection)
            else:
                return channel

    def renew(self, channel: AbstractChannel) -> None:
        """Have another channel in this one's place: what was refused may be taken on that.

        RabbitMQ 3.10.8 refuses all on a channel on which it refused for want of room, also when a
        policy has given the queue more: shown by the drill ``rabbitmq-queue-full``.
        """
        if self._channel is channel:
            # At once: nothing more is to be written on it.
            self._channel = self._connection = None
            self._renewed.set()

    async def close(self) -> None:
        """Close for good."""
        if self._keeper is not None:
            await cancel(self._keeper)

    async def _until_unblocked(
        self, channel: AbstractChannel, connection: AbstractConnection
    ) -> None:
        closed = asyncio.ensure_future((await channel.get_underlay_channel()).closing)
        unblocked = asyncio.ensure_future(underlay(connection).ready())
        try:
            await asyncio.wait({closed, unblocked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            unblocked.cancel()
            closed.cancel()

    async def _keep(self) -> None:
        tries = 0
        while True:
            try:
                connection = await open_connection(self._url, self._process)
            except Unavailable as error:
                if tries % REMIND_EVERY == 0:
                    log.warning("RabbitMQ is away (%s); trying again.", error.detail)
                tries += 1
            else:
                tries = 0
                await self._hold(connection)
            await asyncio.sleep(RETRY_MS / 1000)

    async def _hold(self, connection: AbstractConnection) -> None:
        try:
            async with broker_call(CONNECT_TIMEOUT_MS):
                channel = connection.channel(on_return_raises=self._returns_raise)
                await channel.initialize()
                closing = (await channel.get_underlay_channel()).closing
            self._renewed.clear()
            self._connection, self._channel = connection, channel
            self._changed.set()
            log.info("Connected to RabbitMQ as %s.", self._process)
            renewed = asyncio.ensure_future(self._renewed.wait())
            try:
                await asyncio.wait({closing, renewed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                renewed.cancel()
            if closing.done():
                log.warning("Lost the connection to RabbitMQ (%s); reconnecting.", _why(closing))
            else:
                log.info("RabbitMQ refused what it was given; trying on a new channel.")
        except Unavailable as error:
            log.warning("RabbitMQ gives no channel (%s); trying again.", error.detail)
        finally:
            self._channel = self._connection = None
            await close_connection(connection)


def _why(closing: asyncio.Future[None]) -> str:
    error = None if closing.cancelled() else closing.exception()
    return "no reason given" if error is None else describe(error)
