"""An HTTP/1.1 client that costs next to nothing: prepared requests over kept-alive connections.

It reads no more of an answer than its status and length: the cores belong to what is measured.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Final, cast

from app.stack.process import StackError

CONNECTIONS: Final = 32
ANSWER_WITHIN_S: Final = 10.0
HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"\r\ncontent-length:"
STATUS: Final = slice(9, 12)
WORDS: Final = 600


def post(path: str, body: bytes) -> bytes:
    """A whole request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Load:
    """What all connections share: the requests to send, and what came back."""

    def __init__(self, requests: Sequence[bytes], status: int) -> None:
        """``status`` is the one answer that counts."""
        self._requests = cycle(requests)
        self._status = str(status).encode()
        self.answered = 0
        self.stopped = False
        self.begun = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next(self) -> bytes:
        """The next request."""
        return next(self._requests)

    def take(self, answer: bytes) -> None:
        """Judge a whole answer."""
        if answer[STATUS] == self._status:
            self.answered += 1
            self.begun.set()
        else:
            self.fail(f"The server answered: {answer[:WORDS].decode(errors='replace')}")

    def fail(self, sentence: str) -> None:
        """End the load with a sentence."""
        if not self.failed.done() and not self.stopped:
            self.failed.set_exception(StackError(sentence))
        self.begun.set()


class Connection(asyncio.Protocol):
    """One request at a time, the next as soon as the answer is there."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports are no asyncio.Transport by inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Answers come whole or in parts."""
        self._buffer += data
        size = _size_of(self._buffer)
        if size and len(self._buffer) >= size:
            answer, self._buffer = self._buffer[:size], self._buffer[size:]
            self._load.take(answer)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody may hang up before the end."""
        self._load.fail(f"The server closed the connection ({exc}).")

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        if self._transport is not None and not self._load.stopped:
            self._transport.write(self._load.next())


async def requests_per_second(
    port: int, requests: Sequence[bytes], *, status: int, seconds: float
) -> float:
    """Answers with ``status`` per second over ``CONNECTIONS`` connections, from the first one on.

    Raises:
        StackError: the server answered something else, hung up or fell silent.
    """
    loop = asyncio.get_running_loop()
    load = Load(requests, status)
    pairs = [
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await load.begun.wait()
        started, before = time.perf_counter(), load.answered
        await asyncio.wait({load.failed}, timeout=seconds)
        rate = (load.answered - before) / (time.perf_counter() - started)
        if load.failed.done():
            load.failed.result()
    except TimeoutError as error:
        raise StackError(f"Port {port} gave no answer in {ANSWER_WITHIN_S:.0f} s.") from error
    finally:
        load.stopped = True
        for _, connection in pairs:
            connection.close()
    if not rate:
        raise StackError(f"Port {port} fell silent for {seconds} s.")
    return rate


def _size_of(buffer: bytes) -> int:
    """Bytes of the answer that ``buffer`` begins with, 0 while its head is not whole."""
    end = buffer.find(HEAD_END)
    if end < 0:
        return 0
    head = buffer[:end].lower()
    at = head.find(LENGTH)
    if at < 0:
        raise StackError("The server answered without a Content-Length.")
    length = head[at + len(LENGTH) :].split(b"\r\n", 1)[0]
    return end + len(HEAD_END) + int(length)
