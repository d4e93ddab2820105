"""Joined acks free what was asked for and nothing else, as pamqp reads them."""

import pamqp.frame
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from rehydrator.acks import ack_frames


def read(frames):
    found = []
    while frames:
        used, channel, frame = pamqp.frame.unmarshal(frames)
        assert isinstance(frame, Basic.Ack)
        found.append((channel, frame.delivery_tag, frame.multiple))
        frames = frames[used:]
    return found


def acked(held, found):
    gone = set()
    for _, tag, multiple in found:
        gone |= {each for each in held if each <= tag} if multiple else {tag}
    return gone


@given(st.sets(st.integers(1, 1 << 40), min_size=1, max_size=40).map(sorted), st.data())
def test_exactly_the_chosen_tags_are_acked(held, data):
    tags = data.draw(st.sets(st.sampled_from(held)))
    found = read(ack_frames(7, held, tags))
    assert acked(held, found) == tags
    assert {channel for channel, _, _ in found} <= {7}
    assert len(found) <= len(tags)


def test_a_leading_run_is_one_ack():
    assert read(ack_frames(1, range(5, 1_005), set(range(5, 1_000)))) == [(1, 999, True)]


def test_a_gap_ends_the_leading_run():
    assert read(ack_frames(1, [1, 2, 3, 4], {1, 2, 4})) == [(1, 2, True), (1, 4, False)]


def test_without_the_first_one_nothing_is_acked_together():
    assert read(ack_frames(1, [1, 2, 3], {2, 3})) == [(1, 2, False), (1, 3, False)]
