"""Hand-written frames are pamqp's, byte for byte."""

from datetime import UTC, datetime

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from app.amqp.message import Publication
from mirror.publisher.frames import publish_frames

SHORT = st.text(st.characters(codec="utf-8"), max_size=60)
# pamqp leaves an empty property out; ours are never empty.
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
EXCHANGES = st.from_regex(r"[a-z0-9._-]{0,60}", fullmatch=True)
VALUES = SHORT | st.integers(-(1 << 63), (1 << 63) - 1)
EDGES = sorted(
    {
        sign * (1 << bits) + step
        for bits in (7, 8, 15, 16, 31, 32, 62)
        for sign in (1, -1)
        for step in (-1, 0, 1)
    }
)

PUBLICATIONS = st.builds(
    Publication,
    exchange=EXCHANGES,
    routing_key=SHORT,
    body=st.binary(max_size=300),
    headers=st.dictionaries(NAMES, VALUES, max_size=12).map(lambda d: dict(sorted(d.items()))),
    type=NAMES,
    timestamp_s=st.integers(0, 4_000_000_000),
    correlation_id=st.none() | NAMES,
    content_type=st.none() | NAMES,
    app_id=NAMES,
    delivery_mode=st.just(2),
)


def by_pamqp(publication, message_id, channel, body_max):
    properties = Basic.Properties(
        content_type=publication.content_type,
        headers=dict(publication.headers),
        delivery_mode=publication.delivery_mode,
        correlation_id=publication.correlation_id,
        message_id=message_id,
        timestamp=datetime.fromtimestamp(publication.timestamp_s, tz=UTC),
        message_type=publication.type,
        app_id=publication.app_id,
    )
    body = publication.body
    frames = [
        Basic.Publish(
            exchange=publication.exchange, routing_key=publication.routing_key, mandatory=True
        ),
        ContentHeader(body_size=len(body), properties=properties),
        *(ContentBody(body[at : at + body_max]) for at in range(0, len(body), body_max)),
    ]
    return b"".join(pamqp.frame.marshal(frame, channel) for frame in frames)


@given(PUBLICATIONS, st.integers(1, 65_535), st.integers(1, 400))
def test_the_bytes_of_a_publish(publication, channel, body_max):
    ours = b"".join(publish_frames(publication, "0" * 32, channel, body_max))
    assert ours == by_pamqp(publication, "0" * 32, channel, body_max)


@pytest.mark.parametrize("value", EDGES)
def test_integers_at_the_edges_of_their_types(value):
    publication = Publication("", "q", b"", {"n": value}, "t", 0)
    ours = b"".join(publish_frames(publication, "id", 1, 10))
    assert ours == by_pamqp(publication, "id", 1, 10)


def test_what_amqp_cannot_say_is_refused():
    with pytest.raises(ValueError, match="255"):
        publish_frames(Publication("", "k" * 256, b"", {}, "t", 0), "id", 1, 10)
    with pytest.raises(ValueError, match="64 bits"):
        publish_frames(Publication("", "k", b"", {"n": 1 << 63}, "t", 0), "id", 1, 10)
