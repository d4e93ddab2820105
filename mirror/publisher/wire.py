"""Batches on the wire: many publishes in one write, their confirms settled in O(acked).

The one module that reaches below aio-pika, into attributes of aiormq 7.2.4's channel that it does
not document (``Seam`` names them; a test holds them). aiormq's own publish costs a write, three
futures and a walk over every unconfirmed tag each.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from aiormq.abc import ChannelFrame, DeliveredMessage
from pamqp.commands import Basic

from app.amqp.message import Publication
from mirror.publisher.frames import publish_frames
from mirror.publisher.outcome import PublishOutcome

WRITE_BYTES: Final = 1 << 20
"""At most so much (and one message) goes into one write: others get their turn in between."""

_OUTCOMES: Final = (
    PublishOutcome.UNKNOWN,
    PublishOutcome.CONFIRMED,
    PublishOutcome.REFUSED,
    PublishOutcome.RETURNED,
)
_OPEN, _CONFIRMED, _REFUSED, _RETURNED = range(4)
# What becomes of the marks when the broker answers: open ones take the answer, others stay.
_MARKED: Final = tuple(bytes((mark, *range(1, 256))) for mark in range(4))


class Seam(Protocol):
    """What this module uses of ``aiormq.Channel``."""

    number: int
    delivery_tag: int
    max_content_size: int
    confirmations: Any
    message_id_delivery_tag: Any
    write_queue: asyncio.Queue[ChannelFrame]
    _on_confirm_frame: Callable[[Basic.Ack | Basic.Nack], Awaitable[None]]

    @property
    def lock(self) -> AbstractAsyncContextManager[None]:
        """Orders tags and writes; raises when the channel is closed."""
        ...

    def create_future(self) -> asyncio.Future[None]:
        """A future that a lost channel rejects."""
        ...


class Tally:
    """The outcomes of one batch; ``settled`` is done when none is open."""

    __slots__ = ("marks", "open", "settled")

    def __init__(self, size: int, settled: asyncio.Future[None]) -> None:
        self.marks = bytearray(size)
        self.open = size
        self.settled = settled

    @property
    def outcomes(self) -> list[PublishOutcome]:
        """What is known of each message by now."""
        return [_OUTCOMES[mark] for mark in self.marks]

    def settle(self, start: int, stop: int, mark: int) -> int:
        """Note the broker's answer for the messages of this range; how many were open."""
        marks = self.marks[start:stop]
        if opened := marks.count(_OPEN):
            self.marks[start:stop] = marks.translate(_MARKED[mark])
            self.open -= opened
            if self.open == 0 and not self.settled.done():
                self.settled.set_result(None)
        return opened


class Stretch:
    """Messages of one batch with consecutive tags: what went into one write."""

    __slots__ = ("_offset", "_tally", "end", "first", "open")

    def __init__(self, tally: Tally, start: int, count: int, first: int) -> None:
        """``start``: the place in its batch of the message with the tag ``first``."""
        self._tally = tally
        self.open = count
        self.end = first + count
        self.first = first
        self._offset = start - first

    def settle(self, first: int, last: int, mark: int) -> int:
        """The broker answered for these tags, as far as they are of this stretch."""
        start, stop = max(first, self.first), min(last + 1, self.end)
        settled = self._tally.settle(start + self._offset, stop + self._offset, mark)
        self.open -= settled
        if start == self.first:
            # Nothing before this is open: the next answer need not look there.
            self.first = stop
        return settled


class Returns:
    """Stands in for aiormq's tables of messages without an answer, for those that come back.

    A message's id says its tag, so nothing is kept for each.
    """

    def __init__(self, settle: Callable[[int], None]) -> None:
        """``settle`` is told the tag of a returned message."""
        self._settle = settle
        self._prefix = secrets.token_hex(8)

    def message_id(self, tag: int) -> str:
        """The id of the message with this tag: nobody else's, 32 hex digits."""
        return f"{self._prefix}{tag:016x}"

    def get(self, message_id: str) -> int | None:
        """Called by aiormq for the tag of a returned message; None: it is not from here."""
        if message_id.startswith(self._prefix):
            return int(message_id[len(self._prefix) :], 16)
        return None

    def pop(self, tag: int, _default: None) -> "Return":
        """Called by aiormq for whom to tell of it."""
        return Return(self._settle, tag)

    def __setitem__(self, tag: int, mark: object) -> None:
        """Called by aiormq to remember the return until its ack comes: the tally does."""


class Return:
    """Where aiormq's own publish has a future."""

    def __init__(self, settle: Callable[[int], None], tag: int) -> None:
        self._told = settle
        self._tag = tag

    def set_result(self, _returned: DeliveredMessage) -> None:
        """Called by aiormq with the message."""
        self._told(self._tag)


class Wire:
    """Publishes batches on one channel, from its opening to its end."""

    def __init__(self, channel: Seam, *, unsettled_max: int) -> None:
        """Take over the confirms of ``channel`` (opened without ``on_return_raises``).

        Nobody else may publish on it. ``unsettled_max`` bounds the messages that are written and
        not answered, those of batches given up included.
        """
        self._channel = channel
        self._unsettled_max = unsettled_max
        self._unsettled = 0
        self._stretches: deque[Stretch] = deque()
        self._waiting_for_room: list[asyncio.Future[None]] = []
        self._returns = Returns(lambda tag: self._settle(tag, tag, _RETURNED))
        channel.confirmations = channel.message_id_delivery_tag = self._returns
        channel._on_confirm_frame = self._on_confirm_frame  # noqa: SLF001

    def tally(self, size: int) -> Tally:
        """A tally for a batch of ``size``; a lost channel rejects its future."""
        return Tally(size, self._channel.create_future())

    async def send(self, batch: Sequence[Publication], tally: Tally) -> None:
        """Write ``batch`` in its order; the answers come to ``tally``.

        Cancelled, it leaves what was written. Raises what a closed or lost channel raises.
        """
        start = 0
        while start < len(batch):
            start = await self._write_some(batch, start, tally)

    async def _write_some(self, batch: Sequence[Publication], start: int, tally: Tally) -> int:
        channel = self._channel
        async with channel.lock:
            room = await self._room()
            payload, count = self._encode(batch[start : start + room])
            drained = channel.create_future()
            await channel.write_queue.put(
                ChannelFrame(payload, should_close=False, drain_future=drained)
            )
            # No turn of the loop between the write and this: no answer can come too early, and a
            # cancelled write has taken no tags.
            self._stretches.append(Stretch(tally, start, count, channel.delivery_tag + 1))
            self._unsettled += count
            channel.delivery_tag += count
        # Without this wait a broker that reads slowly would fill this process's memory.
        await drained
        return start + count

    def _encode(self, batch: Sequence[Publication]) -> tuple[bytes, int]:
        number, body_max = self._channel.number, self._channel.max_content_size
        first, message_id = self._channel.delivery_tag + 1, self._returns.message_id
        frames: list[bytes] = []
        body_bytes = count = 0
        for count, publication in enumerate(batch, 1):
            frames += publish_frames(publication, message_id(first + count - 1), number, body_max)
            body_bytes += len(publication.body)
            if body_bytes >= WRITE_BYTES:
                break
        return b"".join(frames), count

    async def _room(self) -> int:
        while (room := self._unsettled_max - self._unsettled) <= 0:
            free = self._channel.create_future()
            self._waiting_for_room.append(free)
            await free
        return room

    async def _on_confirm_frame(self, frame: Basic.Ack | Basic.Nack) -> None:
        last = frame.delivery_tag or 0
        mark = _CONFIRMED if isinstance(frame, Basic.Ack) else _REFUSED
        self._settle(0 if frame.multiple else last, last, mark)

    def _settle(self, first: int, last: int, mark: int) -> None:
        for stretch in self._stretches:
            if stretch.first > last:
                break
            if stretch.end > first:
                self._unsettled -= stretch.settle(first, last, mark)
        while self._stretches and not self._stretches[0].open:
            self._stretches.popleft()
        self._let_in()

    def _let_in(self) -> None:
        waiting, self._waiting_for_room = self._waiting_for_room, []
        for free in waiting:
            if not free.done():
                free.set_result(None)
