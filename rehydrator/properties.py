"""What a rehydrator reads of a message's properties, out of its content header. Pure.

A walk from field to field, pamqp's or the one here, takes ten times as long as what most headers
need: the copies of one queue look alike, and most of what they say is the same. So a header is cut
as one that came before was; where the pieces that should be alike are, byte by byte, its few own
values are where they were there, and the others what they were there. The tests compare each value
with pamqp's, to whom everything unusual is left.
"""

import struct
from collections.abc import Mapping
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

SHARED: Final = frozenset(
    {"x-env", "x-generation", "x-ledger", "x-queue", "x-run", "x-schema", "x-tenant"}
)
"""Headers of which few values are seen in one queue; so it is with the type."""
SHAPES_A_LENGTH: Final = 8
REMEMBERED: Final = 1_024
"""Likenesses, over all shapes."""

# A call of the class costs twice as much.
_new: Final = tuple.__new__


class Properties(NamedTuple):
    """What a rehydrator reads of a message's properties."""

    headers: Mapping[str, Any]
    type: str | None
    message_id: str | None


class PropertiesReader:
    """Reads content headers, and remembers what they look like."""

    def __init__(self) -> None:
        self._shapes: dict[int, list[_Shape]] = {}
        self._remembered = 0

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
        walk = _walk(header)
        if self._remembered >= REMEMBERED:
            self._shapes.clear()
            self._remembered = 0
        known = self._shapes.setdefault(len(header), [])
        shape = next((each for each in known if each.cut == walk.cut), None)
        if shape is None:
            shape = _Shape(walk.cut)
            known.insert(0, shape)
            del known[SHAPES_A_LENGTH:]
        shape.add(walk)
        self._remembered += 1
        found = shape.read(header)
        if found is None:
            raise ValueError("a header that is not like itself")
        return found


class _Cut(NamedTuple):
    """How headers of one length are cut: a layout for ``struct``, and which fields are alike."""

    layout: str
    alike: tuple[int, ...]


class _Likeness(NamedTuple):
    """What headers say whose alike fields are these.

    ``headers`` are all of them; ``texts`` and ``numbers`` those with a value of their own, and the
    fields that hold it. ``message_id`` is a field too.
    """

    headers: dict[str, Any]
    texts: tuple[tuple[str, int], ...]
    numbers: tuple[tuple[str, int], ...]
    type: str | None
    message_id: int | None


class _Shape:
    """What headers of one length have in common, and where the rest of them is."""

    __slots__ = ("_alike", "_known", "_unpack", "cut")

    def __init__(self, cut: _Cut) -> None:
        self.cut = cut
        self._unpack = Struct(cut.layout).unpack
        # Two at the least: what comes before and behind the size of the body.
        self._alike = itemgetter(*cut.alike)
        self._known: dict[tuple[bytes, ...], _Likeness] = {}

    def add(self, walk: "_Walk") -> None:
        """Remember a header."""
        self._known[self._alike(self._unpack(walk.header))] = walk.likeness()

    def read(self, header: bytes) -> Properties | None:
        """The properties of a header as long as the first one; None: of another shape."""
        found = self._unpack(header)
        like = self._known.get(self._alike(found))
        if like is None:
            return None
        shared, texts, numbers, kind, message_id = like
        headers = shared.copy()
        for name, field in texts:
            headers[name] = found[field].decode()
        for name, field in numbers:
            headers[name] = found[field]
        return _new(
            Properties,
            (headers, kind, None if message_id is None else found[message_id].decode()),
        )


class _Walk:
    """One walk through a content header: what its fields are."""

    def __init__(self, header: bytes) -> None:
        self.header = header
        self.at = 0
        self.type: str | None = None
        self.message_id: int | None = None
        self._headers: dict[str, Any] = {}
        self._texts: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._layout: list[str] = []
        self._alike: list[int] = []
        self._fields = 0
        self._alike_from: int | None = None

    @property
    def cut(self) -> _Cut:
        """Where the values are, once the walk is over."""
        return _Cut(">" + "".join(self._layout), tuple(self._alike))

    def likeness(self) -> _Likeness:
        """What was found."""
        own = (tuple(self._texts.items()), tuple(self._numbers.items()))
        return _Likeness(self._headers, *own, self.type, self.message_id)

    def same(self, size: int) -> None:
        """Bytes that are the same in all headers like this one."""
        if self._alike_from is None:
            self._alike_from = self.at
        self.at += size

    def end_alike(self) -> None:
        """What comes now may be another in each."""
        if self._alike_from is not None:
            self._layout.append(f"{self.at - self._alike_from}s")
            self._alike.append(self._fields)
            self._fields += 1
            self._alike_from = None

    def field(self, layout: str, size: int) -> int:
        """A value of its own; returns which field it is."""
        self.end_alike()
        self._layout.append(layout)
        self.at += size
        self._fields += 1
        return self._fields - 1

    def skip(self, size: int) -> None:
        """Whatever it is."""
        self.end_alike()
        self._layout.append(f"{size}x")
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

    def shared_short(self) -> str:
        """A short string that is the same in all headers like this one."""
        start = self.at + 1
        self.same(1 + self.header[self.at])
        return self.header[start : self.at].decode()

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
        name = header[self.at + 1 : named].decode()
        is_text = header[named] == _TEXT
        if is_text:
            (size,) = _U32.unpack_from(header, named + 1)
            self.same(named + 5 - self.at)
            layout = f"{size}s"
        else:
            layout, size = _INTEGERS[header[named]]
            self.same(named + 1 - self.at)
        self._headers[name] = None
        # The last one of a name counts; texts are read first.
        self._numbers.pop(name, None)
        if name in SHARED:
            (value,) = Struct(f">{layout}").unpack_from(header, self.at)
            self._headers[name] = value.decode() if is_text else value
            self.same(size)
        else:
            (self._texts if is_text else self._numbers)[name] = self.field(layout, size)


def _walk(header: bytes) -> _Walk:
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
        walk.type = walk.shared_short()
    if walk.at > len(header):
        raise ValueError("cut off")
    walk.skip(len(header) - walk.at)
    return walk


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
