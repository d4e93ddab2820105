"""Batches on the wire: many publishes in one write, their confirms settled in O(acked).

The one module that reaches below aio-pika, into attributes of aiormq 7.2.4's channel that it does
not document (``Seam`` names them; a test holds them). aiormq's own publish costs a write, three
futures and a walk over every unconfirmed tag each.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from aiormq.abc import ChannelFrame, DeliveredMessage
from pamqp.commands import Basic

from app.amqp.message import Publication
from app.names import new_token
from mirror.publisher.frames import publish_frames
from mirror.publisher.outcome import PublishOutcome

WRITE_BYTES: Final = 1 << 20
"""At most so much (and one message) goes into one write: others get their turn in between."""


class Seam(Protocol):
    """What this module uses of ``aiormq.Channel``."""

    number: int
    delivery_tag: int
    max_content_size: int
    confirmations: OrderedDict[int, Any]
    message_id_delivery_tag: dict[str, int]
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

    __slots__ = ("open", "outcomes", "settled")

    def __init__(self, size: int, settled: asyncio.Future[None]) -> None:
        self.outcomes = [PublishOutcome.UNKNOWN] * size
        self.open = size
        self.settled = settled

    def settle(self, index: int, outcome: PublishOutcome) -> None:
        """Note the broker's answer for one message."""
        self.outcomes[index] = outcome
        self.open -= 1
        if self.open == 0 and not self.settled.done():
            self.settled.set_result(None)


class Confirmation:
    """Stands in aiormq's table for one message, where its own publish puts a future."""

    __slots__ = ("_ids", "_index", "_message_id", "_tally")

    def __init__(self, tally: Tally, index: int, message_id: str, ids: dict[str, int]) -> None:
        self._tally = tally
        self._index = index
        self._message_id = message_id
        self._ids = ids

    def settle(self, outcome: PublishOutcome) -> None:
        """The broker answered for this message."""
        self._ids.pop(self._message_id, None)
        self._tally.settle(self._index, outcome)

    def set_result(self, _returned: DeliveredMessage) -> None:
        """Called by aiormq for a returned message; its confirms never come here."""
        self.settle(PublishOutcome.RETURNED)


class Wire:
    """Publishes batches on one channel, from its opening to its end."""

    def __init__(self, channel: Seam, *, unsettled_max: int) -> None:
        """Take over the confirms of ``channel`` (opened without ``on_return_raises``).

        Nobody else may publish on it. ``unsettled_max`` bounds the messages that are written and
        not answered, those of batches given up included.
        """
        self._channel = channel
        self._unsettled_max = unsettled_max
        self._lowest_tag = channel.delivery_tag + 1
        self._waiting_for_room: list[asyncio.Future[None]] = []
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
            payload, ids = self._encode(batch[start : start + room])
            drained = channel.create_future()
            await channel.write_queue.put(
                ChannelFrame(payload, should_close=False, drain_future=drained)
            )
            # No turn of the loop between the write and this: no answer can come too early, and a
            # cancelled write has taken no tags.
            for index, message_id in enumerate(ids, start):
                channel.delivery_tag += 1
                table = channel.message_id_delivery_tag
                table[message_id] = channel.delivery_tag
                channel.confirmations[channel.delivery_tag] = Confirmation(
                    tally, index, message_id, table
                )
        # Without this wait a broker that reads slowly would fill this process's memory.
        await drained
        return start + len(ids)

    def _encode(self, batch: Sequence[Publication]) -> tuple[bytes, list[str]]:
        number, body_max = self._channel.number, self._channel.max_content_size
        frames: list[bytes] = []
        ids: list[str] = []
        body_bytes = 0
        for publication in batch:
            if body_bytes >= WRITE_BYTES:
                break
            ids.append(new_token())
            frames += publish_frames(publication, ids[-1], number, body_max)
            body_bytes += len(publication.body)
        return b"".join(frames), ids

    async def _room(self) -> int:
        while (room := self._unsettled_max - len(self._channel.confirmations)) <= 0:
            free = self._channel.create_future()
            self._waiting_for_room.append(free)
            await free
        return room

    async def _on_confirm_frame(self, frame: Basic.Ack | Basic.Nack) -> None:
        last = frame.delivery_tag or 0
        first = self._lowest_tag if frame.multiple else last
        outcome = (
            PublishOutcome.CONFIRMED if isinstance(frame, Basic.Ack) else PublishOutcome.REFUSED
        )
        for tag in range(first, last + 1):
            confirmation = self._channel.confirmations.pop(tag, None)
            # After a return aiormq leaves a mark of its own, which the broker's ack takes away.
            if isinstance(confirmation, Confirmation):
                confirmation.settle(outcome)
        if first == self._lowest_tag:
            self._lowest_tag = last + 1
        self._let_in()

    def _let_in(self) -> None:
        waiting, self._waiting_for_room = self._waiting_for_room, []
        for free in waiting:
            if not free.done():
                free.set_result(None)
