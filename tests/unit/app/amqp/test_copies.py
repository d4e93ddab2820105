"""Copies made many at a time are those made one at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.amqp.copies import CopyMaker, heading_of
from app.amqp.message import Copy, Origin, copy_publication, read_copy
from app.amqp.table import headers_of, table_of
from app.envelope import NUMBER_MAX, encode
from app.names import QueueName

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
TOKENS = st.text(st.characters(codec="utf-8"), max_size=40)
NUMBERS = st.integers(1, NUMBER_MAX) | st.sampled_from(
    [(1 << bits) + step for bits in (7, 8, 15, 16, 31, 32) for step in (-1, 0, 1)]
)
CONTEXTS = st.fixed_dictionaries({}, optional={"traceparent": TOKENS | st.none() | st.just(7)})


@st.composite
def made(draw):
    name = QueueName(draw(NAMES), draw(NAMES))
    return encode(
        key=name.task(draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,126}", fullmatch=True))),
        type=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}", fullmatch=True)),
        payload={"text": draw(TOKENS)},
        context=draw(CONTEXTS),
        options={},
        run=draw(NUMBERS),
        digest="d" * 64,
        accepted_at_ms=draw(NUMBERS),
    )


@given(made(), st.builds(Origin, TOKENS, TOKENS, TOKENS, TOKENS), st.integers(0, 1 << 40))
def test_a_copy_is_the_same_message_however_it_was_made(envelope, origin, timestamp_s):
    maker = CopyMaker(
        envelope.queue_name,
        env=origin.env,
        ledger=origin.ledger,
        generation=origin.generation,
    )
    fast = maker.publication(envelope.raw, heading_of(envelope), origin.journal_id, timestamp_s)
    slow = copy_publication(envelope, origin, timestamp_s)
    assert headers_of(fast.headers) == slow.headers
    assert fast._replace(headers={}) == slow._replace(headers={})
    assert read_copy(headers_of(fast.headers), fast.body, fast.type) == Copy(envelope, origin)


def test_a_table_says_what_it_was_made_of():
    headers = {"a": "text", "b": 7, "": "", "ü": -(1 << 40)}
    assert headers_of(table_of(headers)) == headers_of(headers) == headers
    assert table_of(table_of(headers)) == table_of(headers)


def test_what_a_table_cannot_say_is_refused():
    with pytest.raises(ValueError, match="255"):
        table_of({"n" * 256: 1})
    with pytest.raises(ValueError, match="64 bits"):
        table_of({"n": -(1 << 63) - 1})
