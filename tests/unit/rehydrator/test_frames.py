"""Deliveries out of a stream of bytes: each value as pamqp reads it, however the bytes are cut."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from rehydrator.frames import HEARTBEAT, BrokenFrames, Frames
from rehydrator.properties import Properties, properties_of

DELIVER = Basic.Deliver("ctag", 7, True, "ex", "key")


def content(properties, size=0):
    return ContentHeader(body_size=size, properties=properties).marshal()


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
            self.got[channel].append((tag, redelivered, properties_of(header).type, body))

        return take


short = st.text(max_size=20).filter(lambda text: len(text.encode()) <= 60)
plain = st.one_of(st.text(max_size=300), st.integers(-(1 << 63), (1 << 63) - 1))
exotic = st.recursive(
    st.one_of(
        plain,
        st.booleans(),
        st.none(),
        st.floats(allow_nan=False, width=32),
        st.binary(max_size=20).map(bytearray),
        st.integers(0, 1 << 32).map(lambda at: datetime.fromtimestamp(at, tz=UTC)),
        st.decimals(0, 1_000, places=2).map(Decimal),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(short, inner, max_size=3)),
    max_leaves=6,
)


def properties(values):
    names = {
        "content_type": short,
        "content_encoding": short,
        "headers": st.dictionaries(short, values, max_size=8),
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(0, 255),
        "correlation_id": short,
        "reply_to": short,
        "expiration": short,
        "message_id": short,
        "timestamp": st.just(datetime(2026, 1, 1, tzinfo=UTC)),
        "message_type": short,
        "user_id": short,
        "app_id": short,
    }
    return st.fixed_dictionaries({}, optional=names).map(lambda kw: Basic.Properties(**kw))


def as_pamqp_reads(header):
    content = ContentHeader()
    content.unmarshal(header)
    found = content.properties
    return Properties(found.headers or {}, found.message_type, found.message_id)


@given(properties(plain), st.integers(0, (1 << 64) - 1))
def test_properties_are_read_as_pamqp_reads_them(given_properties, size):
    header = content(given_properties, size)
    assert properties_of(header) == as_pamqp_reads(header)


@given(properties(exotic))
def test_exotic_headers_are_read_as_pamqp_reads_them(given_properties):
    header = content(given_properties)
    assert properties_of(header) == as_pamqp_reads(header)


def test_usual_headers_never_reach_pamqp(monkeypatch):
    monkeypatch.setattr("rehydrator.properties.ContentHeader", None)
    headers = {"text": "ü", **{f"n{bits}": 1 << bits for bits in range(63)}, "negative": -(1 << 63)}
    header = content(Basic.Properties(headers=headers, message_type="t", message_id="m"))
    assert properties_of(header) == Properties(headers, "t", "m")


def test_a_header_text_that_is_no_text_stays_bytes():
    header = content(Basic.Properties(headers={"x": "ab"})).replace(b"ab", b"\xff\xfe")
    assert properties_of(header).headers == {"x": b"\xff\xfe"}


@given(properties(plain), st.data())
def test_cut_or_garbled_properties_never_raise(given_properties, data):
    header = bytearray(content(given_properties))
    if data.draw(st.booleans()):
        del header[data.draw(st.integers(14, len(header))) :]
    else:
        at = data.draw(st.integers(12, len(header) - 1))
        header[at] = data.draw(st.integers(0, 255))
    assert isinstance(properties_of(bytes(header)), Properties)


def test_properties_nobody_can_read_are_empty():
    header = content(Basic.Properties(headers={"x": "ab"})).replace(b"S", b"?")
    assert properties_of(header) == Properties({}, None, None)


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
