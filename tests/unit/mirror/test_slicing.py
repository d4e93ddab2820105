"""What is sliced out of an envelope is what decoding it says."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.amqp.copies import heading_of
from app.envelope import decode, encode
from app.errors import EnvelopeError
from app.names import QueueName
from mirror.slicing import Slicer
from tests.support.envelopes import QUEUE, TENANT, envelope

NAME = QueueName(TENANT, QUEUE)
SLICER = Slicer(NAME)

# Texts that look like the members around them, and any others.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    [
        '"context":{"traceparent":"x"}',
        '},"run":9,"requestDigest":"' + "e" * 64 + '","acceptedAt":9}',
        "traceparent",
        "\\",
        '"',
    ]
)
OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ENVELOPES = st.builds(
    encode,
    key=st.builds(NAME.task, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,126}", fullmatch=True)),
    type=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}", fullmatch=True),
    payload=st.dictionaries(TEXTS, OBJECTS, max_size=3)
    | st.just({"run": 9, "requestDigest": "e" * 64, "acceptedAt": 9}),
    context=st.dictionaries(st.sampled_from(["channel", "user", "traceparent"]), TEXTS),
    options=st.just({}) | st.just({"priority": "low", "retry": {"maxAttempts": 2}}),
    run=st.integers(1, 1 << 53),
    digest=st.just("d" * 64),
    accepted_at_ms=st.integers(1, 1 << 53),
)


@given(ENVELOPES)
def test_the_heading_is_the_one_of_the_decoded_envelope(made):
    assert SLICER.heading(made.raw) in (None, heading_of(decode(made.raw)))


def test_an_envelope_as_it_is_made_need_not_be_decoded():
    assert SLICER.heading(envelope("a").raw) == heading_of(envelope("a"))


@given(st.permutations(list(orjson.loads(envelope("a").raw).items())), st.booleans())
def test_members_in_another_order_are_left_to_decoding(items, spaced):
    raw = orjson.dumps(dict(items), option=orjson.OPT_INDENT_2 if spaced else None)
    assert SLICER.heading(raw) in (None, heading_of(decode(raw)))


@given(st.data())
def test_a_changed_byte_shows_in_the_heading_or_lies_in_what_producers_say(data):
    raw = bytearray(envelope("a").raw)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    changed = bytes(raw)
    start, end = changed.find(b'"payload":{'), changed.rfind(b'},"run":')
    try:
        expected = heading_of(decode(changed))
    except EnvelopeError:
        assert SLICER.heading(changed) is None or start < at < end
    else:
        assert SLICER.heading(changed) in (None, expected) or start < at < end


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"queue": "other"},
        {"tenant": "other"},
        {"type": "no type"},
        {"run": True},
        {"run": 0},
        {"acceptedAt": 1.5},
        {"requestDigest": "short"},
    ],
)
def test_what_is_not_of_this_queue_or_not_sound_is_left_to_decoding(changes):
    document = orjson.loads(envelope("a").raw)
    assert SLICER.heading(orjson.dumps({**document, **changes})) is None
