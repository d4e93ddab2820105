"""What is written is read back, and nothing else is: not after a torn tail, not after a flip."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ledger.records import (
    About,
    AttemptRecord,
    ErrorInfo,
    Finish,
    FinishedPart,
    OpenPart,
    OpenWrite,
)
from app.names import TaskKey
from app.worker.spool_format import (
    Header,
    SpoolDamaged,
    SpoolTooNew,
    body_of,
    frame,
    header_body,
    header_from,
    nonce_of,
    scan,
    write_from,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.integers(0, 2**53)
ERROR = st.builds(ErrorInfo, TEXT, TEXT, st.booleans(), st.booleans())
ATTEMPT = st.builds(
    AttemptRecord,
    NUMBER,
    NUMBER,
    TEXT,
    NUMBER,
    NUMBER,
    st.sampled_from(["succeeded", "failed", "timeout", "lost", "cancelled"]),
    st.none() | ERROR,
)
KEY = st.builds(TaskKey, TEXT, TEXT, TEXT)
ABOUT = st.builds(About, TEXT, st.none() | TEXT, st.none() | TEXT, st.none() | TEXT, NUMBER)
FINISHED = st.builds(
    FinishedPart, NUMBER, TEXT, NUMBER, TEXT, NUMBER, st.none() | st.binary(), st.none() | ERROR
)
OPEN = st.builds(
    OpenPart, NUMBER, NUMBER, st.sampled_from(["started", "failed"]), NUMBER, NUMBER, TEXT
)
WRITE = st.builds(Finish, KEY, TEXT, st.binary(), FINISHED, ABOUT, st.none() | ATTEMPT) | st.builds(
    OpenWrite, KEY, TEXT, OPEN, st.none() | ATTEMPT, st.booleans(), st.none() | OPEN
)
BODIES = st.lists(st.binary(max_size=60), min_size=1, max_size=6)


@given(WRITE)
def test_a_wish_is_read_back_as_it_was(write):
    body = body_of(write)
    assert write_from(body) == write
    assert nonce_of(write_from(body)) == nonce_of(write)


def test_what_utf_8_cannot_say_does_not_keep_an_outcome_out():
    error = ErrorInfo("X\udc80", "lone \udfff", retryable=True)
    part = FinishedPart(1, "dead", 5, "me#1", 1, None, error)
    about = About("t", None, None, None, 0)
    write = Finish(TaskKey("a", "b", "c"), "d", b"{}", part, about)
    assert write_from(body_of(write)).finished.error.message == "lone ?"


@given(BODIES)
def test_frames_are_found_in_order(bodies):
    data = b"".join(map(frame, bodies))
    found = scan(data)
    assert (found.bodies, found.good_bytes, found.damaged) == (bodies, len(data), False)


@given(BODIES, st.data())
def test_a_torn_tail_costs_the_torn_frame_alone(bodies, data):
    whole = b"".join(map(frame, bodies))
    last = len(frame(bodies[-1]))
    kept = data.draw(st.integers(len(whole) - last, len(whole) - 1))
    found = scan(whole[:kept])
    assert found.bodies == bodies[:-1]
    assert found.good_bytes == len(whole) - last
    assert not found.damaged


@given(BODIES, st.data())
def test_a_flipped_byte_costs_its_frame_alone(bodies, data):
    frames = [frame(body) for body in bodies]
    hit = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(0, len(frames[hit]) - 1))
    mask = data.draw(st.integers(1, 255))
    broken = bytearray(frames[hit])
    broken[at] ^= mask
    found = scan(b"".join([*frames[:hit], bytes(broken), *frames[hit + 1 :]]))
    assert found.bodies == [*bodies[:hit], *bodies[hit + 1 :]]
    # With nothing sound behind it, it looks like a torn tail.
    assert found.damaged == (hit < len(frames) - 1)
    assert found.good_bytes == sum(map(len, frames[:hit]))


@given(st.binary(max_size=200))
def test_noise_is_no_record(noise):
    assert scan(noise).bodies == []


@given(st.binary(max_size=80))
def test_a_sound_body_that_is_no_wish_is_said_to_be_damaged(body):
    with pytest.raises(SpoolDamaged):
        write_from(body)


def test_a_header_says_whose_it_is():
    header = Header("env", "ledger", "host-1-a.b")
    assert header_from(header_body(header)) == header


def test_a_later_version_is_told_from_damage():
    later = orjson.dumps({"spool": 2, "blobs": []}) + b"\n"
    with pytest.raises(SpoolTooNew, match="version 2"):
        header_from(later)
    with pytest.raises(SpoolDamaged):
        header_from(orjson.dumps({"blobs": []}) + b"\n")
