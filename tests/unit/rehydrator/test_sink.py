"""The reader beneath aiormq: what it hands on, and that a busy connection shows signs of life."""

import asyncio

import pytest
from aiormq.exceptions import InvalidFrameError
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from rehydrator.frames import HEARTBEAT
from rehydrator.sink import DeliveryReader

QOS_OK = frame.marshal(Basic.QosOk(), 1)


def delivery(tag, body=b"x"):
    frames = Basic.Deliver("c", tag, False, "e", "k"), ContentHeader(body_size=len(body))
    return b"".join(frame.marshal(each, 1) for each in (*frames, ContentBody(body)))


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def taken():
    return []


@pytest.fixture
async def reader(taken, clock):
    sinks = {1: lambda tag, *_: taken.append(tag)}
    return DeliveryReader(sinks, asyncio.get_running_loop(), clock=clock)


async def handed_on(reader):
    reader.feed_eof()
    return await reader.read()


async def test_deliveries_are_taken_and_the_rest_is_handed_on(reader, taken):
    reader.feed_data(delivery(1) + QOS_OK + delivery(2))
    assert taken == [1, 2]
    assert await handed_on(reader) == QOS_OK


async def test_deliveries_alone_are_a_sign_of_life_once_a_second(reader, taken, clock):
    for tag in range(1, 100):
        reader.feed_data(delivery(tag))
    clock.now_s += 1.0
    reader.feed_data(delivery(100))
    reader.feed_data(QOS_OK)
    assert len(taken) == 100
    assert await handed_on(reader) == HEARTBEAT * 2 + QOS_OK


async def test_a_part_of_a_delivery_is_a_sign_of_life(reader, taken):
    reader.feed_data(delivery(1)[:20])
    assert await reader.readexactly(len(HEARTBEAT)) == HEARTBEAT
    reader.feed_data(delivery(1)[20:])
    assert taken == [1]
    assert await handed_on(reader) == b""


async def test_silence_is_silence(reader):
    assert await handed_on(reader) == b""


async def test_a_frame_cut_off_by_the_end_is_handed_on(reader):
    reader.feed_data(QOS_OK + delivery(1)[:20])
    reader.feed_eof()
    assert await handed_on(reader) == QOS_OK + delivery(1)[:20]


async def test_broken_frames_are_an_error_for_aiormq(reader, taken):
    broken = frame.marshal(Basic.Deliver("c", 3, False, "e", "k"), 1)
    reader.feed_data(broken + broken)
    reader.feed_data(delivery(4))
    with pytest.raises(InvalidFrameError):
        await reader.read()
    assert 4 not in taken


async def test_memoryviews_are_taken_too(reader, taken):
    reader.feed_data(memoryview(delivery(1)))
    assert taken == [1]


class Socket:
    """A transport that only notes whether it is read from."""

    def __init__(self):
        self.reading = True
        self.closing = False

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def is_closing(self):
        return self.closing


async def test_a_pause_reads_nothing_and_shows_signs_of_life(reader, monkeypatch):
    monkeypatch.setattr("rehydrator.sink.SIGN_OF_LIFE_S", 0.001)
    socket = Socket()
    reader.set_transport(socket)
    reader.pause()
    reader.pause()
    assert not socket.reading
    for _ in range(3):
        assert await reader.readexactly(len(HEARTBEAT)) == HEARTBEAT
    reader.resume()
    assert socket.reading
    assert set(await handed_on(reader)) <= set(HEARTBEAT)


async def test_a_transport_that_has_closed_is_left_alone(reader):
    socket = Socket()
    reader.set_transport(socket)
    reader.pause()
    socket.closing = True
    reader.resume()
    assert not socket.reading
    reader.pause()
    assert await handed_on(reader) == HEARTBEAT
