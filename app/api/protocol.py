"""HTTP/1.1 as uvicorn speaks it, with limits on heads and problems instead of plain text.

httptools keeps a header until its line ends, and uvicorn keeps all of them for as long as the
client likes: without limits one client could fill the memory, or take all connections.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.errors import HeadersTooLarge, MalformedRequest, RequestTimeout, problem_response

LINGER_S: Final = 1.0
"""A refused client may still be sending; a connection closed under it would eat the answer."""
HEAD_WITHIN_S: Final = 30.0
SEPARATORS: Final = len(": \r\n")


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, header_bytes_max: int, **named: Any) -> None:
        super().__init__(*args, **named)
        self._header_bytes_max = header_bytes_max
        self._in_head = self._refused = False
        self._head_bytes = self._unfinished_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._forget_timer()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._refused:
            return
        continued = self._in_head
        super().data_received(data)
        # Heads nearly always come whole: no timer then.
        if not self._in_head:
            self._forget_timer()
        elif self._timer is None:
            self._await_head()
        if continued and self._in_head and not self._refused:
            # All of it belongs to one head, of which the parser may not have said a word yet.
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > self._header_bytes_max:
                self._refuse(HeadersTooLarge(self._header_bytes_max))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._unfinished_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the target came."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is whole."""
        super().on_header(name, value)
        self._count(len(name) + len(value) + SEPARATORS)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is not a request."""
        if self._head_bytes > self._header_bytes_max:
            self._refuse(HeadersTooLarge(self._header_bytes_max))
        else:
            self._refuse(MalformedRequest())

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_WITHIN_S, self._head_is_late)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        if self._in_head and not self._refused:
            self._refuse(RequestTimeout("head", HEAD_WITHIN_S))
        else:
            self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._header_bytes_max:
            # Stops the parser, which then asks for the answer.
            raise HeadersTooLarge(self._header_bytes_max)

    def _refuse(self, error: Exception) -> None:
        self._refused = True
        self.transport.write(_written(problem_response(error)))
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def protocol_of(header_bytes_max: int) -> Callable[..., LimitedProtocol]:
    """What uvicorn makes connections with."""
    return functools.partial(LimitedProtocol, header_bytes_max=header_bytes_max)


def _written(response: Response) -> bytes:
    headers = [*response.raw_headers, (b"connection", b"close")]
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])
