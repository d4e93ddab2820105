"""AMQP header tables as bytes, written by hand: pamqp takes ten times as long. Pure.

Covers what a ``Publication`` can hold; the tests compare each byte with pamqp's.
"""

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final

import pamqp.decode

from app.names import QueueName

HeaderValue = str | int
Headers = Mapping[str, HeaderValue] | bytes
"""A message's headers, or the table that says them."""

SHORT_MAX: Final = 255
"""Bytes of a name or another short string."""
DIGEST_BYTES: Final = 64
"""Of a SHA-256 in hex."""
_U32_MAX: Final = (1 << 32) - 1

_LENGTHS: Final = tuple(bytes((length,)) for length in range(SHORT_MAX + 1))
_U32: Final = Struct(">I")
_I64: Final = Struct(">cq")

# Integers take the smallest type that holds them, as pamqp 4 does.
_INTEGERS: Final = (
    (-(1 << 7), (1 << 7) - 1, Struct(">cb"), b"b"),
    (-(1 << 15), (1 << 15) - 1, Struct(">ch"), b"s"),
    (0, (1 << 16) - 1, Struct(">cH"), b"u"),
    (-(1 << 31), (1 << 31) - 1, Struct(">ci"), b"I"),
    (0, (1 << 32) - 1, Struct(">cI"), b"i"),
    (-(1 << 63), (1 << 63) - 1, _I64, b"l"),
)


def short(text: str) -> bytes:
    """A short string.

    Raises:
        ValueError: it is longer than AMQP allows.
    """
    encoded = text.encode()
    if len(encoded) > SHORT_MAX:
        raise ValueError(f"AMQP allows {SHORT_MAX} bytes: {text[:80]!r}…")
    return _LENGTHS[len(encoded)] + encoded


_ACCEPTED_AT: Final = short("x-accepted-at")


class CopyTables:
    """Header tables of the copies of one queue: what they have in common is written once."""

    def __init__(self, name: QueueName, common: Mapping[str, HeaderValue]) -> None:
        """``common``: headers that all of them have; never one of those that ``table`` adds."""
        shared = {**common, "x-queue": name.queue, "x-tenant": name.tenant}
        self._start = _items(shared) + short("x-digest") + b"S" + _U32.pack(DIGEST_BYTES)
        self._journal_id = short("x-journal-id") + b"S"
        self._task_id = short("x-task-id") + b"S"
        self._size = sum(map(len, (self._start, self._journal_id, self._task_id))) + DIGEST_BYTES

    def table(
        self,
        task_id: str,
        run: int,
        accepted_at_ms: int,
        digest: str,
        journal_id: str,
        traceparent: str,
    ) -> bytes:
        """One copy's; ``digest`` is a hex SHA-256, an empty ``traceparent`` is left out."""
        journal, task = journal_id.encode(), task_id.encode()
        numbers = _run(run) + _ACCEPTED_AT + integer(accepted_at_ms)
        trace = _items({"traceparent": traceparent}) if traceparent else b""
        size = self._size + len(journal) + len(task) + len(numbers) + len(trace)
        return b"".join(
            (
                _U32.pack(size + 2 * _U32.size),
                self._start,
                digest.encode(),
                numbers,
                self._journal_id,
                _U32.pack(len(journal)),
                journal,
                self._task_id,
                _U32.pack(len(task)),
                task,
                trace,
            )
        )


def table_of(headers: Headers) -> bytes:
    """The table that says ``headers``.

    Raises:
        ValueError: a name is longer than 255 bytes, a number larger than 64 bits.
    """
    if isinstance(headers, bytes):
        return headers
    table = _items(headers)
    return _U32.pack(len(table)) + table


def headers_of(headers: Headers) -> dict[str, Any]:
    """The headers that a table says, by pamqp."""
    if isinstance(headers, bytes):
        table: dict[str, Any] = pamqp.decode.field_table(headers)[1]
        return table
    return dict(headers)


def integer(value: int) -> bytes:
    """A header's number with its type.

    Raises:
        ValueError: it has more than 64 bits.
    """
    if _U32_MAX < value < 1 << 63:
        return _I64.pack(b"l", value)
    for least, most, layout, kind in _INTEGERS:
        if least <= value <= most:
            return layout.pack(kind, value)
    raise ValueError(f"a header holds at most 64 bits: {value}")


@lru_cache(maxsize=64)
def _run(number: int) -> bytes:
    return short("x-run") + integer(number)


def _items(headers: Mapping[str, HeaderValue]) -> bytes:
    parts = []
    for name, value in headers.items():
        parts.append(short(name))
        if isinstance(value, str):
            encoded = value.encode()
            parts += (b"S", _U32.pack(len(encoded)), encoded)
        else:
            parts.append(integer(value))
    return b"".join(parts)
