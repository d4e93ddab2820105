"""The wire's book-keeping: whatever order the broker answers in, each message gets its answer."""

import asyncio
from contextlib import asynccontextmanager

import pamqp.frame
from aiormq.channel import Returning
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from app.amqp.message import Publication
from mirror.publisher.outcome import PublishOutcome
from mirror.publisher.wire import WRITE_BYTES, Tally, Wire

C, R, N, U = (
    PublishOutcome.CONFIRMED,
    PublishOutcome.RETURNED,
    PublishOutcome.REFUSED,
    PublishOutcome.UNKNOWN,
)


class Channel:
    """The attributes of aiormq's channel that the wire uses, writing to a list."""

    def __init__(self, writes_max=0):
        self.number = 3
        self.delivery_tag = 0
        self.max_content_size = 1 << 17
        self.confirmations = {}
        self.message_id_delivery_tag = {}
        self.write_queue = asyncio.Queue(writes_max)
        self._lock = asyncio.Lock()
        self.futures = []
        self.bytes = b""

    @property
    @asynccontextmanager
    async def lock(self):
        async with self._lock:
            yield

    def create_future(self):
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    async def ack(self, tag, multiple=False):
        await self._on_confirm_frame(Basic.Ack(tag, multiple))

    async def nack(self, tag, multiple=False):
        await self._on_confirm_frame(Basic.Nack(tag, multiple))

    def return_message(self, tag):
        # What aiormq's _on_return_frame does.
        found = self.message_id_delivery_tag.get(self.message_ids()[tag - 1])
        confirmation = self.confirmations.pop(found, None)
        self.confirmations[found] = Returning(loop=asyncio.get_running_loop())
        confirmation.set_result(None)

    def written(self):
        frames = []
        while not self.write_queue.empty():
            frames.append(self.write_queue.get_nowait())
            frames[-1].drain()
            self.bytes += frames[-1].payload
        return frames

    def message_ids(self):
        """Of all that was written, in its order, as the broker reads them."""
        rest, ids = self.bytes, []
        while rest:
            size, _, frame = pamqp.frame.unmarshal(rest)
            rest = rest[size:]
            if isinstance(frame, ContentHeader):
                ids.append(frame.properties.message_id)
        return ids


def messages(n, size=10):
    return [Publication("x", "q", b"b" * size, {}, "t", 0) for _ in range(n)]


async def sent(wire, channel, n, size=10):
    tally = wire.tally(n)
    task = asyncio.create_task(wire.send(messages(n, size), tally))
    while not task.done():
        await asyncio.sleep(0)
        channel.written()
    return tally


def new_wire(unsettled_max=1_000):
    channel = Channel()
    return channel, Wire(channel, unsettled_max=unsettled_max)


async def test_a_batch_is_one_write():
    channel, wire = new_wire()
    task = asyncio.create_task(wire.send(messages(100), wire.tally(100)))
    await asyncio.sleep(0)
    assert len(channel.written()) == 1
    await task
    assert channel.delivery_tag == 100
    assert len(set(channel.message_ids())) == 100


async def test_big_bodies_are_written_in_parts():
    channel, wire = new_wire()
    task = asyncio.create_task(wire.send(messages(5, WRITE_BYTES // 2), wire.tally(5)))
    sizes = []
    while not task.done():
        await asyncio.sleep(0)
        sizes += [len(frame.payload) for frame in channel.written()]
    assert len(sizes) == 3
    assert channel.delivery_tag == 5


async def test_every_kind_of_answer():
    channel, wire = new_wire()
    tally = await sent(wire, channel, 6)
    channel.return_message(2)
    await channel.ack(3, multiple=True)
    await channel.nack(5)
    assert tally.outcomes == [C, R, C, U, N, U]
    assert not tally.settled.done()
    await channel.nack(4)
    await channel.ack(6, multiple=True)
    assert tally.outcomes == [C, R, C, N, N, C]
    assert tally.settled.done()


async def test_a_returned_batch_is_settled_before_its_ack():
    channel, wire = new_wire()
    tally = await sent(wire, channel, 1)
    channel.return_message(1)
    assert tally.settled.done()
    await channel.ack(1)
    assert tally.outcomes == [R]


async def test_confirms_reach_their_own_batch():
    channel, wire = new_wire()
    first, second = await sent(wire, channel, 3), await sent(wire, channel, 3)
    await channel.ack(4)
    await channel.ack(3, multiple=True)
    assert (first.outcomes, second.outcomes) == ([C, C, C], [C, U, U])


async def test_a_cancelled_write_takes_no_tags():
    channel = Channel(writes_max=1)
    wire = Wire(channel, unsettled_max=1_000)
    channel.write_queue.put_nowait(None)
    task = asyncio.create_task(wire.send(messages(3), wire.tally(3)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert channel.delivery_tag == 0
    channel.write_queue.get_nowait()
    tally = await sent(wire, channel, 2)
    await channel.ack(2, multiple=True)
    assert tally.outcomes == [C, C]


async def test_no_more_is_written_than_may_be_unsettled():
    channel, wire = new_wire(unsettled_max=4)
    tally = wire.tally(10)
    task = asyncio.create_task(wire.send(messages(10), tally))
    for confirmed, published in ((0, 4), (3, 7), (7, 10)):
        if confirmed:
            await channel.ack(confirmed, multiple=True)
        for _ in range(10):
            await asyncio.sleep(0)
            channel.written()
        assert channel.delivery_tag == published
    await task


async def test_settling_touches_only_what_is_acked():
    channel, wire = new_wire(unsettled_max=100_000)
    looked_at = []

    class Counting(Tally):
        def settle(self, start, stop, mark):
            looked_at.append(stop - start)
            return super().settle(start, stop, mark)

    tally = Counting(2_000, channel.create_future())
    task = asyncio.create_task(wire.send(messages(2_000), tally))
    while not task.done():
        await asyncio.sleep(0)
        channel.written()
    await channel.ack(10, multiple=True)
    await channel.ack(500)
    await channel.ack(20, multiple=True)
    assert looked_at == [10, 1, 10]


async def test_what_is_answered_makes_room_once():
    channel, wire = new_wire(unsettled_max=4)
    await sent(wire, channel, 4)
    channel.return_message(1)
    await channel.ack(2, multiple=True)
    await channel.ack(2)
    tally = wire.tally(4)
    task = asyncio.create_task(wire.send(messages(4), tally))
    for confirmed, published in ((0, 6), (4, 8)):
        if confirmed:
            await channel.ack(confirmed, multiple=True)
        for _ in range(10):
            await asyncio.sleep(0)
            channel.written()
        assert channel.delivery_tag == published
    await task


async def test_a_message_of_somebody_else_has_no_tag_here():
    channel, wire = new_wire()
    await sent(wire, channel, 1)
    assert channel.message_id_delivery_tag.get("0" * 32) is None
    assert channel.message_id_delivery_tag.get("") is None


ANSWERS = st.lists(
    st.tuples(st.sampled_from(["ack", "nack", "return"]), st.integers(1, 30), st.booleans()),
    max_size=60,
)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), ANSWERS)
async def test_any_order_of_answers(sizes, answers):
    channel, wire = new_wire()
    tallies = [await sent(wire, channel, size) for size in sizes]
    last = sum(sizes)
    expected = dict.fromkeys(range(1, last + 1), U)
    returned = set()
    for kind, number, multiple in answers:
        tag = (number - 1) % last + 1
        if kind == "return":
            if expected[tag] is U:
                expected[tag] = R
                returned.add(tag)
                channel.return_message(tag)
            continue
        for each in range(1, tag + 1) if multiple else (tag,):
            if expected[each] is U:
                expected[each] = C if kind == "ack" else N
        await (channel.ack if kind == "ack" else channel.nack)(tag, multiple)
    assert [outcome for tally in tallies for outcome in tally.outcomes] == list(expected.values())
    for tally in tallies:
        assert tally.settled.done() == (U not in tally.outcomes)
