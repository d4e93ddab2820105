"""What a rehydrator reads of a message's properties, out of its content header. Pure.

pamqp takes ten times as long as the walk here, and the walk three times as long as what most
headers need: the copies of one queue look alike, so that a header is compared with the shape of one
that came before, and its values are where they were there. The tests compare each value with
pamqp's, to whom everything unusual is left.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple

from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

_CONTENT_FLAGS: Final = Struct(">12xH")
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
    ord(kind): (layout, Struct(f">{layout}").size)
    for kind, layout in (("b", "b"), ("s", "h"), ("u", "H"), ("I", "i"), ("i", "I"), ("l", "q"))
}

SHAPES_A_LENGTH: Final = 4
LENGTHS: Final = 512


class Properties(NamedTuple):
    """What a rehydrator reads of a message's properties."""

    headers: Mapping[str, Any]
    type: str | None
    message_id: str | None


class PropertiesReader:
    """Reads content headers, and remembers what they look like."""

    def __init__(self) -> None:
        self._shapes: dict[int, list[_Shape]] = {}

    def read(self, header: bytes) -> Properties:
        """The properties in the payload of a content header frame; empty: nobody can read them."""
        try:
            known = self._shapes.get(len(header))
            if known is not None:
                for shape in known:
                    if (found := shape.read(header)) is not None:
                        return found
            return self._learn(header)
        except (LookupError, ValueError, struct.error):
            return _unusual(header)

    def _learn(self, header: bytes) -> Properties:
        shape = _shape_of(header)
        found = shape.read(header)
        if found is None:
            raise ValueError("a header that is not like itself")
        if len(self._shapes) >= LENGTHS:
            self._shapes.clear()
        known = self._shapes.setdefault(len(header), [])
        known.insert(0, shape)
        del known[SHAPES_A_LENGTH:]
        return found


class _Shape:
    """What headers of one length have in common, and where the rest of them is."""

    __slots__ = ("_expected", "_fixed", "_headers", "_message_id", "_type", "_unpack")

    def __init__(self, walk: "_Walk") -> None:
        self._unpack = Struct(">" + "".join(walk.layout)).unpack
        # Two at the least: what comes before and behind the size of the body.
        self._fixed = itemgetter(*walk.fixed)
        self._expected = tuple(walk.expected)
        self._headers = tuple(walk.headers)
        self._message_id = walk.message_id
        self._type = walk.type

    def read(self, header: bytes) -> Properties | None:
        """The properties of a header as long as the first one; None: of another shape."""
        found = self._unpack(header)
        if self._fixed(found) != self._expected:
            return None
        return Properties(
            {
                name: found[number].decode() if is_text else found[number]
                for name, number, is_text in self._headers
            },
            None if self._type is None else found[self._type].decode(),
            None if self._message_id is None else found[self._message_id].decode(),
        )


class _Walk:
    """One walk through a content header: a layout for ``struct``, and what its fields are.

    ``fixed`` are the fields that must be as ``expected``; ``headers`` are (name, field, whether it
    is a text); ``message_id`` and ``type`` are fields too.
    """

    def __init__(self, header: bytes) -> None:
        self.header = header
        self.at = 0
        self.layout: list[str] = []
        self.fixed: list[int] = []
        self.expected: list[bytes] = []
        self.headers: list[tuple[str, int, bool]] = []
        self.message_id: int | None = None
        self.type: int | None = None
        self._fields = 0

    def same(self, size: int) -> None:
        """Bytes that tell how to read the others: the same in all headers of the shape."""
        self.fixed.append(self._fields)
        self.expected.append(self.header[self.at : self.at + size])
        self.field(f"{size}s", size)

    def field(self, layout: str, size: int) -> int:
        """A value of its own; returns which field it is."""
        self.layout.append(layout)
        self.at += size
        self._fields += 1
        return self._fields - 1

    def skip(self, size: int) -> None:
        """Whatever it is."""
        self.layout.append(f"{size}x")
        self.at += size

    def skip_short(self) -> None:
        """A short string nobody asks for."""
        size = self.header[self.at]
        self.same(1)
        self.skip(size)

    def short(self) -> int:
        """A short string; returns which field it is."""
        size = self.header[self.at]
        self.same(1)
        return self.field(f"{size}s", size)

    def table(self) -> None:
        """The header table."""
        (length,) = _U32.unpack_from(self.header, self.at)
        self.same(4)
        end = self.at + length
        if end > len(self.header):
            raise ValueError("a header table that does not end where it says")
        while self.at < end:
            self._entry()
        if self.at != end:
            raise ValueError("a header table that does not end where it says")

    def _entry(self) -> None:
        header, named = self.header, self.at + 1 + self.header[self.at]
        name = _name(header[self.at + 1 : named])
        kind = header[named]
        if kind == _TEXT:
            (size,) = _U32.unpack_from(header, named + 1)
            self.same(named + 5 - self.at)
            layout = f"{size}s"
        else:
            layout, size = _INTEGERS[kind]
            self.same(named + 1 - self.at)
        self.headers.append((name, self.field(layout, size), kind == _TEXT))


def _shape_of(header: bytes) -> _Shape:
    (flags,) = _CONTENT_FLAGS.unpack_from(header)
    if flags & _MORE_FLAGS:
        raise ValueError("more flags than there are properties")
    walk = _Walk(header)
    walk.same(4)
    walk.skip(8)
    walk.same(2)
    for _ in range((flags & (_CONTENT_TYPE | _CONTENT_ENCODING)).bit_count()):
        walk.skip_short()
    if flags & _HEADERS:
        walk.table()
    walk.skip((flags & (_DELIVERY_MODE | _PRIORITY)).bit_count())
    for _ in range((flags & (_CORRELATION_ID | _REPLY_TO | _EXPIRATION)).bit_count()):
        walk.skip_short()
    if flags & _MESSAGE_ID:
        walk.message_id = walk.short()
    if flags & _TIMESTAMP:
        walk.skip(8)
    if flags & _TYPE:
        walk.type = walk.short()
    if walk.at > len(header):
        raise ValueError("cut off")
    walk.skip(len(header) - walk.at)
    return _Shape(walk)


@lru_cache(maxsize=256)
def _name(encoded: bytes) -> str:
    # The names are the same in every message.
    return encoded.decode()


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
