"""AMQP 0-9-1 by hand: one connection, one channel, frames written and read without a library.

The yardstick of ``mirror`` and ``rehydrate``: nobody can ask less of a client. For benches only: it
knows no heartbeats, no reconnecting and no error but the end.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from struct import Struct
from typing import Final, cast
from urllib.parse import urlsplit

from app.amqp.connection import vhost_of
from app.stack.process import StackError
from mirror.publisher.frames import BODY, FRAME_END, HEADER, METHOD
from rehydrator.acks import ack_frames

PORT: Final = 5_672
CHANNEL: Final = 1
CHANNEL_MAX: Final = 16
FRAME_MAX: Final = 131_072
BODY_MAX: Final = FRAME_MAX - 8
ANSWER_WITHIN_S: Final = 30.0
MESSAGES_A_WRITE: Final = 50
WINDOW: Final = 1_000
NO_HEARTBEAT: Final = 0

_FRAME: Final = Struct(">BHI")
_METHOD: Final = Struct(">HH")
_ACKED: Final = Struct(">QB")
_TAG: Final = Struct(">Q")
_SIZE: Final = Struct(">Q")
_FLAGS: Final = Struct(">H")
_U32: Final = Struct(">I")

START, START_OK = (10, 10), (10, 11)
TUNE, TUNE_OK = (10, 30), (10, 31)
OPEN, OPEN_OK = (10, 40), (10, 41)
CLOSE = (10, 50)
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE = (20, 10), (20, 11), (20, 40)
QOS, QOS_OK = (60, 10), (60, 11)
CONSUME, CONSUME_OK = (60, 20), (60, 21)
RETURN, DELIVER, ACK, NACK = (60, 50), (60, 60), (60, 80), (60, 120)
SELECT, SELECT_OK = (85, 10), (85, 11)

_HAS_CONTENT_TYPE: Final = 1 << 15
_HAS_HEADERS: Final = 1 << 13
_HAS_DELIVERY_MODE: Final = 1 << 12
_HAS_CORRELATION_ID: Final = 1 << 10
_FLAGS_AT: Final = 12
_PROPERTIES_AT: Final = 14


@dataclass(slots=True)
class Message:
    """One delivery; ``header`` is the payload of its content header frame."""

    tag: int
    header: bytes = b""
    body: bytes = b""

    @property
    def is_whole(self) -> bool:
        """Whether all of its body has come."""
        return bool(self.header) and len(self.body) == _SIZE.unpack_from(self.header, 4)[0]

    @property
    def correlation_id(self) -> str:
        """The property, empty where it has none."""
        (flags,) = _FLAGS.unpack_from(self.header, _FLAGS_AT)
        at = _PROPERTIES_AT
        if not flags & _HAS_CORRELATION_ID:
            return ""
        if flags & _HAS_CONTENT_TYPE:
            at += 1 + self.header[at]
        if flags & _HAS_HEADERS:
            at += 4 + _U32.unpack_from(self.header, at)[0]
        if flags & _HAS_DELIVERY_MODE:
            at += 1
        return self.header[at + 1 : at + 1 + self.header[at]].decode()


class Confirms:
    """Counts what the broker has confirmed, in order or not. Pure."""

    def __init__(self) -> None:
        self._prefix = 0
        self._beyond: set[int] = set()

    @property
    def count(self) -> int:
        """Messages confirmed so far."""
        return self._prefix + len(self._beyond)

    def take(self, tag: int, *, multiple: bool) -> None:
        """An ack for ``tag``, or for everything up to it."""
        if multiple:
            self._beyond = {each for each in self._beyond if each > tag}
            self._prefix = max(self._prefix, tag)
        elif tag > self._prefix:
            self._beyond.add(tag)
        while self._prefix + 1 in self._beyond:
            self._prefix += 1
            self._beyond.discard(self._prefix)


class RawAmqp(asyncio.Protocol):
    """The connection; made by ``open_raw``."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answers: deque[tuple[int, int]] = deque()
        self._changed: asyncio.Future[None] | None = None
        self._ended = ""
        self._coming: Message | None = None
        self._confirms = Confirms()
        self._sent = 0
        self._arrived: deque[Message] = deque()

    async def log_in(self, user: str, password: str, vhost: str) -> None:
        """Connection and channel open."""
        self._write(b"AMQP\x00\x00\x09\x01")
        await self._answer(START)
        plain = f"\x00{user}\x00{password}".encode()
        no_properties = _U32.pack(0)
        secret = _U32.pack(len(plain)) + plain
        self._call(START_OK, no_properties + _short("PLAIN") + secret + _short("en_US"), channel=0)
        await self._answer(TUNE)
        tuned = _FLAGS.pack(CHANNEL_MAX) + _U32.pack(FRAME_MAX) + _FLAGS.pack(NO_HEARTBEAT)
        self._call(TUNE_OK, tuned, channel=0)
        self._call(OPEN, _short(vhost) + _short("") + b"\x00", channel=0)
        await self._answer(OPEN_OK)
        self._call(CHANNEL_OPEN, _short(""))
        await self._answer(CHANNEL_OPEN_OK)

    async def select_confirms(self) -> None:
        """Have every publish confirmed."""
        self._call(SELECT, b"\x00")
        await self._answer(SELECT_OK)

    async def publish(self, messages: Iterable[bytes], *, window: int = WINDOW) -> int:
        """Write whole publishes and wait until all are confirmed; how many they were.

        At most ``window`` of them are unconfirmed at a time.
        """
        coming, before = iter(messages), self._sent
        while batch := list(islice(coming, MESSAGES_A_WRITE)):
            while self._sent - self._confirms.count + len(batch) > window:
                await self._change()
            self._sent += len(batch)
            self._write(b"".join(batch))
        while self._confirms.count < self._sent:
            await self._change()
        return self._sent - before

    async def consume(self, queue: str, prefetch: int) -> None:
        """Have at most ``prefetch`` unacked messages of ``queue`` delivered."""
        self._call(QOS, _U32.pack(0) + _FLAGS.pack(prefetch) + b"\x00")
        await self._answer(QOS_OK)
        no_arguments = _U32.pack(0)
        self._call(CONSUME, _FLAGS.pack(0) + _short(queue) + _short("") + b"\x00" + no_arguments)
        await self._answer(CONSUME_OK)

    async def deliveries(self, count: int) -> list[Message]:
        """The next ``count`` messages; waits for them."""
        while len(self._arrived) < count:
            await self._change()
        return [self._arrived.popleft() for _ in range(count)]

    def ack_up_to(self, tag: int) -> None:
        """Let go of every message up to ``tag``."""
        self._write(ack_frames(CHANNEL, [tag], {tag}))

    def close(self) -> None:
        """Hang up; what was not acked is back in its queue."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to write."""
        # uvloop's transports are no asyncio.Transport by inheritance.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits must not wait for ever."""
        self._ended = self._ended or f"RabbitMQ closed the connection ({exc})."
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Take all frames that are whole."""
        buffer = self._buffer + data if self._buffer else data
        at, last = 0, len(buffer) - _FRAME.size
        while at < last:
            kind, _, size = _FRAME.unpack_from(buffer, at)
            end = at + _FRAME.size + size
            if end >= len(buffer):
                break
            self._take(kind, buffer[at + _FRAME.size : end])
            at = end + 1
        self._buffer = buffer[at:]
        self._wake()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == METHOD:
            self._take_method(payload)
        elif self._coming is not None and kind in (HEADER, BODY):
            if kind == HEADER:
                self._coming.header = payload
            else:
                self._coming.body += payload
            if self._coming.is_whole:
                self._arrived.append(self._coming)
                self._coming = None

    def _take_method(self, payload: bytes) -> None:
        method = _METHOD.unpack_from(payload)
        if method == ACK:
            tag, bits = _ACKED.unpack_from(payload, 4)
            self._confirms.take(tag, multiple=bool(bits & 1))
        elif method == DELIVER:
            (tag,) = _TAG.unpack_from(payload, 5 + payload[4])
            self._coming = Message(tag)
        elif method in (CLOSE, CHANNEL_CLOSE, NACK, RETURN):
            self._ended = f"RabbitMQ refused: method {method}, {payload[4:204]!r}."
        else:
            self._answers.append(method)

    async def _answer(self, method: tuple[int, int]) -> None:
        while not self._answers:
            await self._change()
        if (found := self._answers.popleft()) != method:
            raise StackError(f"RabbitMQ answered method {found} instead of {method}.")

    async def _change(self) -> None:
        """Wait until something came."""
        if self._ended:
            raise StackError(self._ended)
        self._changed = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._changed
        except TimeoutError as error:
            raise StackError(f"RabbitMQ said nothing for {ANSWER_WITHIN_S:.0f} s.") from error
        if self._ended:
            raise StackError(self._ended)

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _call(self, method: tuple[int, int], arguments: bytes, *, channel: int = CHANNEL) -> None:
        payload = _METHOD.pack(*method) + arguments
        self._write(_FRAME.pack(METHOD, channel, len(payload)) + payload + FRAME_END)

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._ended:
            raise StackError(self._ended or "There is no connection to RabbitMQ.")
        self._transport.write(data)


@asynccontextmanager
async def open_raw(url: str) -> AsyncIterator[RawAmqp]:
    """A connection with one open channel to the vhost that an AMQP URL names.

    Raises:
        StackError: RabbitMQ refused or fell silent.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    host, port = parts.hostname or "127.0.0.1", parts.port or PORT
    _, raw = await loop.create_connection(RawAmqp, host, port)
    try:
        await raw.log_in(parts.username or "guest", parts.password or "guest", vhost_of(url))
        yield raw
    finally:
        raw.close()


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded
