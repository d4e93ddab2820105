"""Deliveries read out of AMQP 0-9-1 frames by hand: pamqp takes ten times as long. Pure.

``properties_of`` reads what a rehydrator needs of a content header and leaves everything unusual
to pamqp; the tests compare each value with pamqp's.
"""

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_KINDS: Final = frozenset({METHOD, HEADER, BODY, 8})
_FRAME_END: Final = 0xCE
_OVERHEAD: Final = 8
_DELIVER: Final = b"\x00\x3c\x00\x3c"

_FRAME: Final = Struct(">BHI")
_TAG: Final = Struct(">QB")
_CONTENT: Final = Struct(">HHQH")
_U32: Final = Struct(">I")

# Flags of the properties, in the order in which they are written.
_CONTENT_TYPE: Final = 1 << 15
_CONTENT_ENCODING: Final = 1 << 14
_HEADERS: Final = 1 << 13
_DELIVERY_MODE: Final = 1 << 12
_PRIORITY: Final = 1 << 11
_CORRELATION_ID: Final = 1 << 10
_REPLY_TO: Final = 1 << 9
_EXPIRATION: Final = 1 << 8
_MESSAGE_ID: Final = 1 << 7
_TIMESTAMP: Final = 1 << 6
_TYPE: Final = 1 << 5
_MORE_FLAGS: Final = 1

_TEXT: Final = ord("S")
_INTEGERS: Final = {
    ord(kind): (Struct(layout).unpack_from, Struct(layout).size)
    for kind, layout in (
        ("b", ">b"),
        ("s", ">h"),
        ("u", ">H"),
        ("I", ">i"),
        ("i", ">I"),
        ("l", ">q"),
    )
}


class BrokenFrames(Exception):
    """The broker sent what cannot be: the connection is of no use any more."""


Sink = Callable[[int, bool, bytes, bytes], None]
"""Takes a delivery: its tag, whether it is redelivered, its content header, its body."""


class Properties(NamedTuple):
    """What a rehydrator reads of a message's properties."""

    headers: Mapping[str, Any]
    type: str | None
    message_id: str | None


class _Coming:
    """A delivery of which not all frames are there yet; ``missing``: bytes of its body."""

    __slots__ = ("header", "missing", "parts", "redelivered", "tag")

    def __init__(self, tag: int, *, redelivered: bool) -> None:
        self.tag = tag
        self.redelivered = redelivered
        self.header = b""
        self.missing = 0
        self.parts: list[bytes] = []


class Frames:
    """Splits what a connection receives: deliveries to the sinks, all other frames to others.

    ``sinks`` are those of the channels, by number. What does not look like AMQP is nobody's: from
    there on all goes to the others, who know what to say of it.
    """

    def __init__(self, sinks: Mapping[int, Sink]) -> None:
        self._sinks = sinks
        self._coming: dict[int, _Coming] = {}
        self._foreign = False
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; returns the whole frames that belong to no delivery, joined.

        Raises:
            BrokenFrames: a delivery that contradicts itself.
        """
        buffer = self._rest + data if self._rest else data
        self._rest = b""
        if self._foreign:
            return buffer
        others: list[bytes] = []
        at, size = 0, len(buffer)
        while size - at >= _OVERHEAD:
            kind, channel, length = _FRAME.unpack_from(buffer, at)
            end = at + _FRAME.size + length
            self._foreign = kind not in _KINDS or (end < size and buffer[end] != _FRAME_END)
            if self._foreign:
                others.append(buffer[at:])
                return b"".join(others)
            if end >= size:
                break
            sink = self._sinks.get(channel)
            if sink is None or not self._take(sink, kind, channel, buffer[at + 7 : end]):
                others.append(buffer[at : end + 1])
            at = end + 1
        self._rest = buffer[at:]
        return b"".join(others)

    def cut_off(self) -> bytes:
        """Nothing comes any more: gives, once, the beginning of a frame whose end did not come."""
        rest, self._rest = self._rest, b""
        return rest

    def _take(self, sink: Sink, kind: int, channel: int, payload: bytes) -> bool:
        """Whether the frame is part of a delivery."""
        if kind == METHOD:
            return self._begin(channel, payload)
        coming = self._coming.get(channel)
        if coming is None:
            return False
        if kind == HEADER:
            if coming.header or len(payload) < _CONTENT.size:
                raise BrokenFrames("A delivery has a broken or a second content header.")
            coming.header = payload
            coming.missing = _CONTENT.unpack_from(payload)[2]
        else:
            coming.missing -= len(payload)
            if not coming.header or coming.missing < 0:
                raise BrokenFrames("The body of a delivery has no header or is too long.")
            coming.parts.append(payload)
        if not coming.missing:
            del self._coming[channel]
            parts = coming.parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            sink(coming.tag, coming.redelivered, coming.header, body)
        return True

    def _begin(self, channel: int, payload: bytes) -> bool:
        if channel in self._coming:
            raise BrokenFrames("A delivery was interrupted on its channel.")
        if not payload.startswith(_DELIVER):
            return False
        try:
            tag, bits = _TAG.unpack_from(payload, 5 + payload[4])
        except (struct.error, IndexError) as error:
            raise BrokenFrames("A delivery has no tag.") from error
        self._coming[channel] = _Coming(tag, redelivered=bool(bits & 1))
        return True


def properties_of(header: bytes) -> Properties:
    """The properties in the payload of a content header frame; empty where nobody can read them."""
    try:
        return _usual(header)
    except (LookupError, ValueError, struct.error):
        return _unusual(header)


def _usual(header: bytes) -> Properties:
    _, _, _, flags = _CONTENT.unpack_from(header)
    if flags & _MORE_FLAGS:
        raise ValueError("more flags than there are properties")
    at = _skip_shorts(header, _CONTENT.size, flags & (_CONTENT_TYPE | _CONTENT_ENCODING))
    headers: dict[str, Any] = {}
    if flags & _HEADERS:
        at = _read_table(header, at, headers)
    at += bool(flags & _DELIVERY_MODE) + bool(flags & _PRIORITY)
    at = _skip_shorts(header, at, flags & (_CORRELATION_ID | _REPLY_TO | _EXPIRATION))
    message_id = message_type = None
    if flags & _MESSAGE_ID:
        message_id, at = _short(header, at)
    if flags & _TIMESTAMP:
        at += 8
    if flags & _TYPE:
        message_type, at = _short(header, at)
    if at > len(header):
        raise ValueError("cut off")
    return Properties(headers, message_type, message_id)


def _read_table(header: bytes, at: int, into: dict[str, Any]) -> int:
    """Returns where the table ends."""
    at += 4
    end: int = at + _U32.unpack_from(header, at - 4)[0]
    while at < end:
        after = at + 1 + header[at]
        name = _name(header[at + 1 : after])
        kind = header[after]
        at = after + 1
        if kind == _TEXT:
            at += 4
            after = at + _U32.unpack_from(header, at - 4)[0]
            into[name] = header[at:after].decode()
            at = after
        else:
            unpack_from, size = _INTEGERS[kind]
            (into[name],) = unpack_from(header, at)
            at += size
    if at != end or end > len(header):
        raise ValueError("a header table that does not end where it says")
    return end


@lru_cache(maxsize=256)
def _name(encoded: bytes) -> str:
    # The names are the same in every message.
    return encoded.decode()


def _skip_shorts(header: bytes, at: int, flags: int) -> int:
    """Returns where as many short strings as there are flags end."""
    for _ in range(flags.bit_count()):
        at += 1 + header[at]
    return at


def _short(header: bytes, at: int) -> tuple[str, int]:
    after = at + 1 + header[at]
    return header[at + 1 : after].decode(), after


def _unusual(header: bytes) -> Properties:
    content = ContentHeader()
    try:
        content.unmarshal(header)
    except (
        PAMQPException,
        ArithmeticError,
        LookupError,
        OSError,
        RecursionError,
        ValueError,
        struct.error,
    ):
        # A stranger's: the copy without headers goes to the quarantine.
        return Properties({}, None, None)
    found = content.properties
    return Properties(found.headers or {}, found.message_type, found.message_id)
