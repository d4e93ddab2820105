"""The source: copies delivered from a mirror queue, held unacked until their owner lets them go.

One connection, one or more channels with one consumer each. Nothing is opened anew in secret: with
a channel everything held on it is back in the queue and its delivery tags are void, so the owner
must learn of it (``CopiesLost``, ``lost``), forget what it knew and open another source.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, Self, cast

from aiormq import Channel
from aiormq.abc import ChannelFrame

from app.amqp.connection import (
    CALL_TIMEOUT_MS,
    broker_call,
    close_connection,
    describe,
    underlay,
    was_closed_by_operator,
)
from app.amqp.declare import ready_count
from app.amqp.topology import mirror_queue
from app.errors import Unavailable
from rehydrator.acks import ack_frames
from rehydrator.properties import PropertiesReader
from rehydrator.receiving import Header, Kind, Receiving, Take, open_receiving

log = logging.getLogger(__name__)

PREFETCH_MAX: Final = 60_000
"""Per consumer; AMQP allows 65,535, and 0 would mean 2,000 on a quorum queue."""
WAITING_BYTES_MAX: Final = 4 * 1_048_576
"""Bodies that may wait for ``batch``: behind more of them the broker must wait with the others."""
BATCH_BYTES_MAX: Final = 2 * 1_048_576
"""Bodies in one batch: one more than fit is in it at the most."""
RETURN_TIMEOUT_MS: Final = 2_000
RETURN_POLL_S: Final = 0.02

# One delivery after the other: a call of a tuple's class costs twice as much.
_new: Final = tuple.__new__


class CopiesLost(Unavailable):
    """The connection or a channel is gone; whatever was held is in the queue again.

    ``by_operator``: a person closed the connection, to work on the queue by hand: stay away.
    """

    def __init__(self, detail: str, *, by_operator: bool = False) -> None:
        self.by_operator = by_operator
        super().__init__("rabbitmq", detail)


class Lane:
    """One channel, its consumer, and the tags delivered on it that are not acked, rising.

    ``prefetch``: how many of them at the most.
    """

    __slots__ = ("channel", "consumer_tag", "held", "prefetch")

    def __init__(self, channel: Channel, prefetch: int) -> None:
        self.channel = channel
        self.prefetch = prefetch
        self.consumer_tag = ""
        self.held: dict[int, None] = {}


@dataclass(slots=True, eq=False)
class Delivery:
    """One message in hand; ``lane`` and ``tag`` are the source's own."""

    lane: Lane
    tag: int
    headers: Mapping[str, Any]
    body: bytes
    type: str | None
    message_id: str | None
    redelivered: bool


class Arrived(NamedTuple):
    """A delivery nobody has asked for yet; its header is read when somebody does."""

    lane: Lane
    tag: int
    redelivered: bool
    header: Header
    body: bytes


class Tagged(Protocol):
    """What an ack needs of a delivery."""

    @property
    def lane(self) -> Lane:
        """Where it was delivered."""

    @property
    def tag(self) -> int:
        """As what."""


class CopySource:
    """Consumes the mirror queue of one logical queue; made by ``open``, ended by ``hand_back``."""

    def __init__(self, receiving: Receiving, queue: str, prefetch: int) -> None:
        self._receiving = receiving
        self._connection = receiving.connection
        self._queue = queue
        self._prefetch = prefetch
        self._lanes: list[Lane] = []
        self._arrived: deque[Arrived] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._calling = 0
        self._ending = False
        self._headers = PropertiesReader()
        self._wake = asyncio.Event()
        self._acking = asyncio.Lock()
        self._end: CopiesLost | None = None
        self._closing: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()
        """Set when what was held is lost to us; not by ``hand_back``."""

    @classmethod
    async def open(
        cls,
        url: str,
        queue: str,
        *,
        prefetch: int,
        first: int | None = None,
        process: str = "rehydrator",
        kind: Kind = "sink",
    ) -> Self:
        """Connect and consume; at most ``prefetch`` copies are held at a time (1 to 60,000).

        ``first``: so many on the first channel, and ``prefetch`` on each one more. The broker
        prepares all that a channel may hold before it sends any of it.

        Raises:
            Unavailable: the broker is away, or the queue is missing.
        """
        if not 1 <= prefetch <= PREFETCH_MAX:
            raise ValueError(f"prefetch must be 1 to {PREFETCH_MAX}, not {prefetch}")
        source = cls(await open_receiving(kind, url, process), queue, prefetch)
        try:
            await source._add_lane(min(first or prefetch, prefetch))
        except BaseException:
            source._end = CopiesLost("it was never opened")
            await close_connection(source._connection)
            raise
        return source

    @property
    def held(self) -> int:
        """Copies delivered and not acked, those not yet taken by ``batch`` included."""
        return sum(len(lane.held) for lane in self._lanes)

    @property
    def window(self) -> int:
        """Copies that may be held at a time."""
        return sum(lane.prefetch for lane in self._lanes)

    @property
    def lanes(self) -> int:
        """Channels."""
        return len(self._lanes)

    @property
    def waiting(self) -> int:
        """Copies that ``batch`` would bring at once."""
        return len(self._arrived)

    async def grow(self) -> None:
        """Hold ``prefetch`` more, through one more channel.

        Raises:
            Unavailable: the broker is away, or the queue is missing.
        """
        self._raise_if_ended()
        await self._add_lane(self._prefetch)

    async def _add_lane(self, prefetch: int) -> None:
        async with broker_call(CALL_TIMEOUT_MS), self._read_on():
            channel = await underlay(self._connection).channel(publisher_confirms=False)
            lane = Lane(cast(Channel, channel), prefetch)
            lane.channel.closing.add_done_callback(self._on_closed)
            lane.channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
            await lane.channel.basic_qos(prefetch_count=prefetch)
            self._lanes.append(lane)
            lane.consumer_tag = await self._receiving.consume(
                lane.channel, mirror_queue(self._queue), self._taking(lane)
            )

    async def batch(self, max_n: int, wait_ms: int) -> list[Delivery]:
        """What has arrived, in the order of arrival; waits for the first one.

        At most ``max_n`` copies and about ``BATCH_BYTES_MAX``; empty when nothing came within
        ``wait_ms``.

        Raises:
            CopiesLost: see there; also after ``hand_back``.
        """
        if not self._arrived and self._end is None:
            self._wake.clear()
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self._wake.wait()
            except TimeoutError:
                return []
        self._raise_if_ended()
        taken: list[Delivery] = []
        room = BATCH_BYTES_MAX
        while self._arrived and len(taken) < max_n and room > 0:
            lane, tag, redelivered, header, body = self._arrived.popleft()
            room -= len(body)
            headers, kind, message_id = (
                self._headers.read(header) if isinstance(header, bytes) else header
            )
            taken.append(Delivery(lane, tag, headers, body, kind, message_id, redelivered))
        self._waiting_bytes -= BATCH_BYTES_MAX - room
        if self._paused and self._waiting_bytes <= WAITING_BYTES_MAX // 2:
            self._resume()
        return taken

    async def catch_up(self) -> int:
        """Wait for what the broker has delivered; how many deliveries then wait for ``batch``.

        On one channel copies arrive in the order of the queue. Several overtake each other: what
        lay before a message that has arrived may still be on its way on another one.

        Raises:
            Unavailable: the broker is away.
        """
        self._raise_if_ended()
        async with broker_call(CALL_TIMEOUT_MS), self._read_on():
            for lane in self._lanes:
                # Answered on its channel behind all that was delivered there before.
                await lane.channel.basic_qos(prefetch_count=lane.prefetch)
        return len(self._arrived)

    async def ack(self, deliveries: Iterable[Tagged]) -> int:
        """Let copies go for good; returns how many acks were written.

        Deliveries of a lost channel, and those acked before, are passed over: their tags are void
        and their copies back in the queue. An ack the broker never read means the same.

        Raises:
            Unavailable: the broker takes no more acks; those of ``deliveries`` may be held still.
        """
        chosen: dict[Lane, set[int]] = {}
        for delivery in deliveries:
            chosen.setdefault(delivery.lane, set()).add(delivery.tag)
        async with self._acking:
            return sum([await self._ack(lane, tags) for lane, tags in chosen.items()])

    async def hand_back(self) -> bool:
        """Stop consuming and let everything held return to the queue; close the connection.

        Returns whether as many copies as were held were then seen ready in the queue. The broker
        returns them only after it has answered the close. False: it did not say so in time; they
        return nevertheless, with the connection.
        """
        if self._end is not None:
            return False
        try:
            async with broker_call(CALL_TIMEOUT_MS), self._acking, self._read_on(keep=False):
                for lane in self._lanes:
                    await lane.channel.basic_cancel(lane.consumer_tag)
                expected = self.held + await ready_count(self._connection, self._queue)
                self._finish(CopiesLost("the copies were handed back"))
                for lane in self._lanes:
                    await lane.channel.close()
            return await self._seen_ready(expected)
        except Unavailable as error:
            self._finish(CopiesLost(error.detail))
            return False
        finally:
            await close_connection(self._connection)

    async def _ack(self, lane: Lane, tags: set[int]) -> int:
        held = tags & lane.held.keys()
        if not held or self._end is not None or not _is_open(lane.channel):
            return 0
        frames = ack_frames(lane.channel.number, lane.held, held)
        async with broker_call(CALL_TIMEOUT_MS):
            await lane.channel.write_queue.put(ChannelFrame(frames, should_close=False))
        for tag in held:
            lane.held.pop(tag, None)
        return len(held)

    async def _seen_ready(self, expected: int) -> bool:
        try:
            async with asyncio.timeout(RETURN_TIMEOUT_MS / 1000):
                # The broker tells nobody when it has requeued: it must be asked.
                while await ready_count(self._connection, self._queue) < expected:  # noqa: ASYNC110
                    await asyncio.sleep(RETURN_POLL_S)
        except TimeoutError:
            return False
        return True

    def _taking(self, lane: Lane) -> Take:
        held, arrived, wake = lane.held, self._arrived, self._wake

        def take(tag: int, redelivered: bool, header: Header, body: bytes) -> None:
            if self._end is not None:
                return
            held[tag] = None
            if self._ending:
                return
            arrived.append(_new(Arrived, (lane, tag, redelivered, header, body)))
            self._waiting_bytes += len(body)
            wake.set()
            if self._waiting_bytes > WAITING_BYTES_MAX:
                self._pause()

        return take

    @asynccontextmanager
    async def _read_on(self, *, keep: bool = True) -> AsyncIterator[None]:
        """Whatever waits: an answer of the broker comes behind what it has delivered.

        ``keep``: what arrives meanwhile will be asked for.
        """
        self._calling += 1
        if not keep:
            self._ending = True
            self._arrived.clear()
            self._waiting_bytes = 0
        self._resume()
        try:
            yield
        finally:
            self._calling -= 1
            if self._waiting_bytes > WAITING_BYTES_MAX:
                self._pause()

    def _pause(self) -> None:
        if not (self._paused or self._calling or self._ending):
            self._paused = True
            self._receiving.pause()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._receiving.resume()

    def _on_closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        if self._end is None:
            detail = "the channel was closed" if error is None else describe(error)
            self._lose(CopiesLost(detail, by_operator=was_closed_by_operator(error)))

    def _on_cancelled(self, _frame: object) -> None:
        if self._end is None:
            self._lose(CopiesLost("the broker cancelled the consumer: its queue is gone or moved"))

    def _lose(self, end: CopiesLost) -> None:
        log.warning("Lost the copies held of %s: %s.", self._queue, end.detail)
        self._finish(end)
        self.lost.set()
        self._closing = asyncio.create_task(close_connection(self._connection))

    def _finish(self, end: CopiesLost) -> None:
        self._end = self._end or end
        self._arrived.clear()
        self._waiting_bytes = 0
        # The broker's goodbye must be read.
        self._resume()
        for lane in self._lanes:
            lane.held.clear()
        self._wake.set()

    def _raise_if_ended(self) -> None:
        if self._end is not None:
            raise CopiesLost(self._end.detail, by_operator=self._end.by_operator)


def _is_open(channel: Channel) -> bool:
    # aiormq 7.2.4 notes the broker's Channel.Close some turns of the loop before is_closed tells;
    # an ack written in between would cost the whole connection.
    return not channel.is_closed and channel._close_exception is None  # noqa: SLF001
