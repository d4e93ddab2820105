"""Names and arguments: final once a queue exists, so they are spelled out here a second time."""

from app.amqp import topology
from app.amqp.topology import Difference, difference_from, differences, mismatch_sentence

REFUSAL = (
    "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'lifeboat.mirror.default'"
    " in vhost '/': received '1000000' but current is '20'"
)
REFUSAL_WITHOUT = (
    "PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost 'a b':"
    " received the value 'reject-publish' of type 'longstr' but current is none"
)


def test_names():
    assert topology.TASKS == "lifeboat.tasks"
    assert topology.DEAD_LETTERS == "lifeboat.dlx"
    assert topology.QUARANTINE == "lifeboat.quarantine"
    assert topology.mirror_queue("default") == "lifeboat.mirror.default"
    assert topology.binding_key("default") == "default.#"
    assert topology.marker_exchange("prod") == "lifeboat.env.prod"


def test_arguments_of_a_mirror_queue():
    assert dict(topology.arguments_of("lifeboat.mirror.default")) == {
        "x-queue-type": "quorum",
        "x-quorum-initial-group-size": 3,
        "x-delivery-limit": 1_000_000,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "lifeboat.dlx",
        "x-dead-letter-strategy": "at-least-once",
    }


def test_the_quarantine_has_no_dead_letter_exchange():
    assert dict(topology.arguments_of("lifeboat.quarantine")) == {
        "x-queue-type": "quorum",
        "x-quorum-initial-group-size": 3,
        "x-delivery-limit": 1_000_000,
        "x-overflow": "reject-publish",
    }


def test_no_difference():
    name = topology.mirror_queue("q")
    assert differences(name, dict(topology.arguments_of(name))) == ()


def test_each_difference_is_named():
    found = dict(topology.MIRROR_ARGUMENTS)
    del found["x-overflow"]
    found["x-delivery-limit"] = 20
    found["x-message-ttl"] = 60_000
    assert differences(topology.mirror_queue("q"), found) == (
        Difference("x-delivery-limit", "1000000", "20"),
        Difference("x-message-ttl", "none", "60000"),
        Difference("x-overflow", "reject-publish", "none"),
    )


def test_what_the_broker_says_about_a_refused_declare():
    assert difference_from(REFUSAL) == Difference("x-delivery-limit", "1000000", "20")
    assert difference_from(REFUSAL_WITHOUT) == Difference("x-overflow", "reject-publish", "none")
    assert difference_from("ACCESS_REFUSED - no") is None


def test_the_sentence_names_queue_argument_expected_and_found():
    sentence = mismatch_sentence("lifeboat.mirror.q", (Difference("x-overflow", "a", "b"),), "")
    assert "lifeboat.mirror.q" in sentence
    assert "x-overflow is b, not a" in sentence


def test_a_refusal_nobody_understands_is_passed_on():
    assert "odd words" in mismatch_sentence("lifeboat.mirror.q", (), "odd words")
