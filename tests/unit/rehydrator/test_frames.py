"""Deliveries out of a stream of bytes: each value as pamqp reads it, however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from rehydrator.frames import HEARTBEAT, BrokenFrames, Frames
from rehydrator.properties import PropertiesReader

DELIVER = Basic.Deliver("ctag", 7, True, "ex", "key")


def message(channel, tag, body, *, part_bytes=10, redelivered=False):
    """The frames of one delivery."""
    header = ContentHeader(body_size=len(body), properties=Basic.Properties(message_type="t"))
    parts = [body[at : at + part_bytes] for at in range(0, len(body), part_bytes)]
    whole = [Basic.Deliver("ctag", tag, redelivered, "ex", "key"), header]
    whole += [ContentBody(part) for part in parts]
    return [frame.marshal(each, channel) for each in whole]


class Kept:
    def __init__(self, *channels):
        self.got = {channel: [] for channel in channels}
        self.frames = Frames({channel: self._sink(channel) for channel in channels})

    def _sink(self, channel):
        def take(tag, redelivered, header, body):
            assert type(body) is bytes
            self.got[channel].append((tag, redelivered, PropertiesReader().read(header).type, body))

        return take


bodies = st.lists(st.binary(max_size=45), min_size=1, max_size=4)


@given(bodies, bodies, st.data())
def test_interleaved_channels_cut_anywhere(one, two, data):
    others = [
        frame.marshal(Heartbeat(), 0),
        frame.marshal(Basic.QosOk(), 5),
        *message(5, 1, b"not ours"),
    ]
    streams = [
        [each for tag, body in enumerate(one, 1) for each in message(3, tag, body)],
        [
            each
            for tag, body in enumerate(two, 1)
            for each in message(4, tag, body, redelivered=True)
        ],
        others,
    ]
    stream = b""
    left = [list(each) for each in streams]
    while any(left):
        chosen = data.draw(st.sampled_from([each for each in left if each]))
        stream += chosen.pop(0)
    kept = Kept(3, 4)
    passed = b""
    at = 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream)))
        passed += kept.frames.feed(stream[at : at + step])
        at += step
    assert kept.got[3] == [(tag, False, "t", body) for tag, body in enumerate(one, 1)]
    assert kept.got[4] == [(tag, True, "t", body) for tag, body in enumerate(two, 1)]
    assert passed == b"".join(others)
    assert kept.frames.cut_off() == b""


def test_a_large_body_comes_in_many_frames():
    body = bytes(range(256)) * 4_096
    kept = Kept(1)
    stream = b"".join(message(1, 9, body, part_bytes=131_064))
    for at in range(0, len(stream), 65_536):
        assert kept.frames.feed(stream[at : at + 65_536]) == b""
    assert kept.got[1] == [(9, False, "t", body)]


def test_other_methods_of_the_channel_pass():
    kept = Kept(1)
    closing = frame.marshal(Channel.Close(404, "gone", 0, 0), 1)
    assert kept.frames.feed(b"".join(message(1, 1, b"")) + closing) == closing
    assert kept.got[1] == [(1, False, "t", b"")]


def test_a_frame_that_never_ended_is_given_once():
    kept = Kept(1)
    assert kept.frames.feed(message(1, 1, b"x")[0][:9]) == b""
    assert kept.frames.cut_off() == message(1, 1, b"x")[0][:9]
    assert kept.frames.cut_off() == b""


@pytest.mark.parametrize(
    "strange",
    [
        b"AMQP\x00\x00\x09\x01",
        b"HTTP/1.1 400 Bad Request\r\n",
        frame.marshal(Heartbeat(), 0)[:-1] + b"\x00",
    ],
)
def test_what_is_no_frame_is_left_to_others_with_all_behind_it(strange):
    kept = Kept(1)
    assert kept.frames.feed(HEARTBEAT + strange) == HEARTBEAT + strange
    behind = b"".join(message(1, 1, b"x"))
    assert kept.frames.feed(behind) == behind
    assert kept.got[1] == []


def broken():
    method, header, *parts = message(1, 1, b"0123456789")
    marshal = frame.marshal
    return {
        "interrupted": [method, header, marshal(Basic.QosOk(), 1)],
        "delivered anew": [method, method],
        "two headers": [method, header, header],
        "no header": [method, *parts],
        "short header": [method, b"\x02\x00\x01\x00\x00\x00\x02\x00\x3c\xce"],
        "too long": [method, header, marshal(ContentBody(b"01234567890"), 1)],
        "no tag": [b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x3c\x01x\xce"],
        "nothing": [b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x3c\xce"],
    }


@pytest.mark.parametrize("frames", broken().values(), ids=broken())
def test_a_delivery_that_contradicts_itself_ends_it(frames):
    kept = Kept(1)
    with pytest.raises(BrokenFrames):
        kept.frames.feed(b"".join(frames))


def test_the_heartbeat_is_pamqps():
    assert frame.marshal(Heartbeat(), 0) == HEARTBEAT
