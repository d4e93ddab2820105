"""Opening connections to RabbitMQ, and its errors in our words.

Plain connections, not aio-pika's robust ones: what was lost with a connection (confirms, delivery
tags) must be seen by its owner, who then opens another.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractConnection as UnderlayConnection
from aiormq.exceptions import AMQPError, ConnectionClosed, InvalidFrameError

from app.amqp.closing import closed_by_operator
from app.clock import monotonic_ms
from app.errors import Unavailable
from app.lifecycle import asked_to_stop
from app.settings import addresses_of

STORE: Final = "rabbitmq"
HEARTBEAT_S: Final = 5
"""aiormq 7.2.4 notices a silent broker after three missed ones, about 18 s."""
CONNECT_TIMEOUT_MS: Final = 5_000
CALL_TIMEOUT_MS: Final = 5_000
CLOSE_TIMEOUT_MS: Final = 2_000


@contextmanager
def broker_errors() -> Iterator[None]:
    """Turn aio-pika's and aiormq's errors, and a timeout, into ``Unavailable``.

    A ``CancelledError`` nobody asked for is a lost connection: aiormq 7.2.4 cancels the futures of
    a dead connection. One that was asked for and swallowed inside is raised: aiormq's ``close``
    suppresses it, and whoever cancelled would wait for ever.
    """
    before = _cancels()
    try:
        yield
    except asyncio.CancelledError as error:
        if asked_to_stop():
            raise
        raise Unavailable(STORE, "the connection was lost") from error
    except (AMQPError, OSError, RuntimeError) as error:
        if _cancels() > before:
            raise asyncio.CancelledError from error
        raise Unavailable(STORE, describe(error)) from error
    except Exception as error:
        if not _is_bare(error):
            raise
        if _cancels() > before:
            raise asyncio.CancelledError from error
        raise Unavailable(STORE, describe(error)) from error
    if _cancels() > before:
        raise asyncio.CancelledError


def _is_bare(error: BaseException | None) -> bool:
    """What aiormq 7.2.4 throws into the calls of a connection that it lost: no more than this."""
    return type(error) is Exception


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


@asynccontextmanager
async def broker_call(deadline_ms: int = CALL_TIMEOUT_MS) -> AsyncIterator[None]:
    """``broker_errors`` with a deadline around what is awaited inside.

    Raises:
        Unavailable: the broker is away or silent; what was asked of it may have happened.
    """
    with broker_errors():
        async with asyncio.timeout(deadline_ms / 1000):
            yield


async def open_connection(
    url: str,
    process: str,
    connection_class: type[AbstractConnection] = aio_pika.Connection,
    *,
    timeout_ms: int = CONNECT_TIMEOUT_MS,
) -> AbstractConnection:
    """Open a connection that the dashboard shows as ``lifeboat-<process>-<host>-<pid>``.

    ``url`` may name several nodes, separated by commas: they are tried in their order, each with an
    equal share of the time that is left.

    Raises:
        Unavailable: none reached or all refused within ``timeout_ms``; the detail says why.
    """
    urls = addresses_of(url)
    deadline_ms = monotonic_ms() + timeout_ms
    failures: list[Unavailable] = []
    for tried, each in enumerate(urls):
        share_ms = max(0, deadline_ms - monotonic_ms()) // (len(urls) - tried)
        try:
            async with broker_call(share_ms):
                return await _open(each, process, connection_class)
        except Unavailable as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    said = zip(urls, failures, strict=True)
    detail = "; ".join(f"{place_of(each)}: {error.detail}" for each, error in said)
    raise Unavailable(STORE, detail) from failures[-1]


async def _open(
    url: str, process: str, connection_class: type[AbstractConnection]
) -> AbstractConnection:
    try:
        return await aio_pika.connect(
            url,
            client_properties={
                "connection_name": f"lifeboat-{process}-{socket.gethostname()}-{os.getpid()}"
            },
            heartbeat=HEARTBEAT_S,
            connection_class=connection_class,
        )
    except InvalidFrameError as error:
        # aiormq 7.2.4 drops the broker's words when it refuses the vhost.
        raise Unavailable(
            STORE, f"it refuses the vhost {vhost_of(url)!r}: is it there, may this user enter?"
        ) from error


@asynccontextmanager
async def open_channel(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """A channel for a few calls; what the broker refuses closes only this channel."""
    channel = connection.channel()
    await channel.initialize()
    try:
        yield channel
    finally:
        with suppress(AMQPError, OSError, RuntimeError):
            await channel.close()


async def close_connection(connection: AbstractConnection) -> None:
    """Close without raising and without waiting for a broker that does not answer."""
    with suppress(Unavailable):
        async with broker_call(CLOSE_TIMEOUT_MS):
            await connection.close()


def underlay(connection: AbstractConnection) -> UnderlayConnection:
    """The aiormq connection below.

    Raises:
        Unavailable: it is closed.
    """
    if connection.transport is None:
        raise Unavailable(STORE, "the connection is closed")
    return connection.transport.connection


def is_blocked(connection: UnderlayConnection) -> bool:
    """Whether the broker said ``connection.blocked`` (an alarm: it reads nothing we publish).

    ``ready()`` is the only public way to see it in aiormq 7.2.4: it waits while blocked.
    """
    probe = connection.ready().__await__()
    try:
        next(probe)
    except StopIteration:
        return False
    probe.close()
    return True


def was_closed_by_operator(error: BaseException | None) -> bool:
    """Whether what ended a connection was an operator's forced close."""
    said = _close_frame(error)
    return said is not None and closed_by_operator(*said)


def vhost_of(url: str) -> str:
    """The vhost an AMQP URL names, unquoted; of several, the first's: they name the same."""
    return unquote(urlsplit(addresses_of(url)[0]).path[1:]) or "/"


def place_of(url: str) -> str:
    """``host:port`` of one URL: what may be shown of it."""
    place = urlsplit(url)
    return f"{place.hostname}:{place.port}" if place.port else str(place.hostname)


def describe(error: BaseException) -> str:
    """What to tell a person about a broker's error, without credentials."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, asyncio.CancelledError):
        return "it fell silent"
    if isinstance(error, RuntimeError) or _is_bare(error):
        # What aiormq says of a closed connection or channel is its repr, or nothing.
        return "the connection is closed"
    if said := _close_frame(error):
        return f"it closed the connection: {said[1]}"
    words = str(error.args[-1] if error.args else error).strip()
    return words or type(error).__name__


def _close_frame(error: BaseException | None) -> tuple[int, str] | None:
    """Reply code and text, where the broker closed the connection with some."""
    match error:
        case ConnectionClosed(args=(int(code), str(text))):
            return code, text
    return None
