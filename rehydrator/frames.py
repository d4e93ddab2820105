"""Deliveries read out of AMQP 0-9-1 frames by hand: pamqp takes ten times as long. Pure."""

import struct
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Final

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


class BrokenFrames(Exception):
    """The broker sent what cannot be: the connection is of no use any more."""


Sink = Callable[[int, bool, bytes, bytes], None]
"""Takes a delivery: its tag, whether it is redelivered, its content header, its body."""


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
            if sink is not None and kind == METHOD and channel not in self._coming:
                after = _take_whole(sink, channel, buffer, at, end + 1)
                if after:
                    at = after
                    continue
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


def _take_whole(sink: Sink, channel: int, buffer: bytes, method: int, header: int) -> int:
    """Take a delivery of three frames that all are there: where they end, 0 for any other.

    ``method`` and ``header`` are where the first two frames begin; the first one is whole.
    """
    if not buffer.startswith(_DELIVER, method + 7):
        return 0
    try:
        tag, bits = _TAG.unpack_from(buffer, method + 12 + buffer[method + 11])
        kind, of, length = _FRAME.unpack_from(buffer, header)
        body = header + _OVERHEAD + length
        if (kind, of, buffer[body - 1]) != (HEADER, channel, _FRAME_END) or length < _CONTENT.size:
            return 0
        content_size = _CONTENT.unpack_from(buffer, header + 7)[2]
        kind, of, length = _FRAME.unpack_from(buffer, body)
        after: int = body + _OVERHEAD + length
        if (kind, of, buffer[after - 1], length) != (BODY, channel, _FRAME_END, content_size):
            return 0
    except (struct.error, IndexError):
        return 0
    sink(tag, bool(bits & 1), buffer[header + 7 : body - 1], buffer[body + 7 : after - 1])
    return after
