"""One call over HTTP: deadline, repeats, and every way it can fail as a ``ClientError``.

A call is repeated until its time is over when the server says 503, and when no answer came; the
latter only where a second one does no harm.
"""

import asyncio
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from app import __version__
from app.client.errors import ClientError, NoAnswer, Unavailable, error_of
from app.clock import monotonic_ms

CONNECT_WITHIN_S: Final = 5.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0
IDLE_S: Final = 4.0
"""Shorter than servers keep an idle connection: who finds it closed cannot say what was done."""
SERVICE_UNAVAILABLE: Final = 503
OK: Final = range(200, 300)
NEVER_ASKED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""No connection came about, so nothing was sent."""
JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask; ``body`` is JSON.

    ``repeatable``: asking twice does what asking once does. ``task_id``: which task errors are
    about. ``try_s``: a try that takes longer is given up, and repeated if there is time.
    """

    method: str
    path: str
    body: bytes | None = None
    query: Mapping[str, str] | None = None
    repeatable: bool = True
    task_id: str | None = None
    try_s: float = 30.0


class Transport:
    """A pool of connections to one API; opened by the first call."""

    def __init__(self, url: str, headers: Mapping[str, str], *, repeat: bool) -> None:
        self.url = url.rstrip("/")
        self._headers = {"User-Agent": f"lifeboat-client/{__version__}", **headers}
        self._repeat = repeat
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, call: Call, within_s: float) -> Any:
        """The answer's document.

        Raises:
            ClientError: as it is told in ``app.client.errors``.
        """
        until_ms = monotonic_ms() + within_s * 1_000
        tries = 0
        while True:
            left_s = (until_ms - monotonic_ms()) / 1_000
            try:
                return await self._once(call, min(max(left_s, 0.001), call.try_s))
            except ClientError as error:
                tries += 1
                pause_s = self._pause_s(call, error, tries)
                if pause_s is None or monotonic_ms() + pause_s * 1_000 >= until_ms:
                    raise
            await asyncio.sleep(pause_s)

    def _pause_s(self, call: Call, error: ClientError, tries: int) -> float | None:
        """Seconds until the next try, None: there is none."""
        if not self._repeat:
            return None
        if isinstance(error, NoAnswer):
            if not call.repeatable and not isinstance(error.__cause__, NEVER_ASKED):
                return None
        elif error.status != SERVICE_UNAVAILABLE or not call.repeatable:
            return None
        grown_s = min(PAUSE_S_MIN * 2.0 ** (tries - 1), PAUSE_S_MAX)
        return max(error.retry_after_s or 0.0, grown_s * random.uniform(0.5, 1))

    async def _once(self, call: Call, within_s: float) -> Any:
        session = self._opened()
        try:
            async with asyncio.timeout(within_s):
                async with session.request(
                    call.method,
                    URL(self.url + call.path, encoded=True).with_query(call.query),
                    data=call.body,
                    headers=JSON if call.body else None,
                    allow_redirects=False,
                ) as response:
                    raw = await response.read()
                    status, headers = response.status, response.headers
        except (aiohttp.ClientError, OSError) as error:
            is_over = isinstance(error, TimeoutError) and not isinstance(error, NEVER_ASKED)
            why = f"nothing came within {within_s:.1f} s" if is_over else _why(error)
            raise self._no_answer(call, f"{why}.") from error
        document = _document(raw)
        if status not in OK:
            after_s = _seconds(headers.get("Retry-After"))
            raise error_of(status, document, task_id=call.task_id, retry_after_s=after_s)
        if document is None:
            raise Unavailable(
                f"What {self.url} answered is no JSON: is this Lifeboat's API?",
                status=status,
                task_id=call.task_id,
            )
        return document

    def _no_answer(self, call: Call, why: str) -> NoAnswer:
        return NoAnswer(f"No answer from the API at {self.url}: {why}", task_id=call.task_id)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The deadline of the call is the one that counts.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN_S),
                headers=self._headers,
            )
        return self._session


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        # Its own text tells more of sockets than of what is wrong.
        inner = error.os_error
        if inner.errno is not None and inner.errno > 0:
            return os.strerror(inner.errno)
        return inner.strerror or str(inner)
    return str(error) or type(error).__name__


def _document(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
