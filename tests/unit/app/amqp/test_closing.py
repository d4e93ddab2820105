"""Who closed a connection: the broker's words, as seen on RabbitMQ 3.10.8."""

import pytest

from app.amqp.closing import closed_by_operator


@pytest.mark.parametrize(
    "text",
    [
        "CONNECTION_FORCED - Closed via management plugin",
        "CONNECTION_FORCED - looking at the queue by hand",
        "CONNECTION_FORCED - ",
    ],
)
def test_an_operators_words(text):
    assert closed_by_operator(320, text)


@pytest.mark.parametrize(
    "text",
    [
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
        "CONNECTION_FORCED - broker forced connection closure with reason 'killed'",
        "CONNECTION_FORCED - vhost 'a b' is deleted",
        "CONNECTION_FORCED - vhost '/' is down",
        "CONNECTION_FORCED - user 'guest' is deleted",
        "CONNECTION_FORCED - Node was put into maintenance mode",
    ],
)
def test_the_nodes_own_words(text):
    assert not closed_by_operator(320, text)


def test_other_closes_are_nobodys_hand():
    assert not closed_by_operator(504, "CHANNEL_ERROR - expected 'channel.open'")
    assert not closed_by_operator(320, "something else")
