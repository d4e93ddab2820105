import pytest

from app.amqp.message import Publication
from app.bench.raw_amqp import Confirms, Message
from mirror.publisher.frames import content_header


def test_confirms_are_counted_once_in_whatever_order_they_come():
    confirms = Confirms()

    counts = []
    for tag, multiple in ((2, False), (1, False), (5, False), (4, True), (4, False), (9, True)):
        confirms.take(tag, multiple=multiple)
        counts.append(confirms.count)

    assert counts == [1, 2, 3, 5, 5, 9]


@pytest.mark.parametrize("content_type", [None, "application/json"])
@pytest.mark.parametrize("headers", [{}, {"x-run": 1, "x-queue": "bench"}])
def test_the_correlation_id_is_found_among_the_other_properties(content_type, headers):
    publication = Publication(
        exchange="",
        routing_key="q",
        body=b"body",
        headers=headers,
        type="bench.noop",
        timestamp_s=1,
        correlation_id="the-task",
        content_type=content_type,
    )

    message = Message(1, content_header(publication, "message-id"))

    assert message.correlation_id == "the-task"
    assert not message.is_whole
    message.body = b"body"
    assert message.is_whole


def test_a_message_without_a_correlation_id_has_an_empty_one():
    publication = Publication("", "q", b"", {}, "lifeboat.fence", 1)

    message = Message(1, content_header(publication, "message-id"))

    assert message.correlation_id == ""
    assert message.is_whole
