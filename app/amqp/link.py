"""A link: one connection with one confirming channel, opened anew whenever it is lost.

For publishing only. It hides that a connection was lost, which a consumer must see.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection

from app.amqp.connection import (
    CLOSE_TIMEOUT_MS,
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
CHANNEL_LEAST_MS = 5_000
"""A channel that the broker refuses on is replaced after so long at the earliest."""


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
        self._is_refused = asyncio.Event()
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

    def refused(self, channel: AbstractChannel) -> None:
        """The broker refused something on this channel: have another in its place, before long.

        Its channels learn from the queue that there is room again, and RabbitMQ 3.10.8 tells them
        when a message leaves, but not when a policy lets in more: a channel would refuse for ever.
        A new one asks (drill ``rabbitmq-queue-full``).
        """
        if self._channel is channel:
            self._is_refused.set()

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
        """Keep a channel open until the connection is lost, or the broker closes the channel."""
        former: AbstractChannel | None = None
        try:
            while True:
                channel, closing = await self._open_channel(connection)
                self._connection, self._channel = connection, channel
                self._changed.set()
                if former is None:
                    log.info("Connected to RabbitMQ as %s.", self._process)
                if not await self._until_refused(closing):
                    log.warning("Lost RabbitMQ (%s); reconnecting.", _why(closing))
                    return
                log.info("RabbitMQ refuses what it is given; trying on a new channel.")
                if former is not None:
                    await _close_channel(former)
                # It stays until the next one goes: what is in flight there is answered there.
                former = channel
        except Unavailable as error:
            log.warning("RabbitMQ gives no channel (%s); trying again.", error.detail)
        finally:
            self._channel = self._connection = None
            await close_connection(connection)

    async def _open_channel(
        self, connection: AbstractConnection
    ) -> tuple[AbstractChannel, asyncio.Future[None]]:
        """A channel, and what is done when it is closed."""
        async with broker_call(CONNECT_TIMEOUT_MS):
            channel = connection.channel(on_return_raises=self._returns_raise)
            await channel.initialize()
            return channel, (await channel.get_underlay_channel()).closing

    async def _until_refused(self, closing: asyncio.Future[None]) -> bool:
        """Wait until the channel has served its time and is refused on; False: it is lost."""
        self._is_refused.clear()
        await asyncio.wait({closing}, timeout=CHANNEL_LEAST_MS / 1000)
        refused: asyncio.Future[Any] = asyncio.ensure_future(self._is_refused.wait())
        ends: set[asyncio.Future[Any]] = {closing, refused}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            refused.cancel()
        return not closing.done()


async def _close_channel(channel: AbstractChannel) -> None:
    with suppress(Unavailable):
        async with broker_call(CLOSE_TIMEOUT_MS):
            await channel.close()


def _why(closing: asyncio.Future[None]) -> str:
    error = None if closing.cancelled() else closing.exception()
    return "no reason given" if error is None else describe(error)
