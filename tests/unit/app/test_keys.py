"""Keys: final once there is data under them, so they are spelled out here a second time."""

from itertools import product

from app.broker.keys import GROUP, QueueKeys
from app.names import QueueName

KEYS = QueueKeys("prod", QueueName("acme", "mail"))


def test_every_key_by_name():
    assert KEYS.generation == "lb:{prod.acme.mail}:generation"
    assert KEYS.lanes == (
        "lb:{prod.acme.mail}:ready:high",
        "lb:{prod.acme.mail}:ready:normal",
        "lb:{prod.acme.mail}:ready:low",
    )
    assert KEYS.journal == "lb:{prod.acme.mail}:journal"
    assert KEYS.delayed == "lb:{prod.acme.mail}:delayed"
    assert KEYS.retrying == "lb:{prod.acme.mail}:retrying"
    assert KEYS.mirror == "lb:{prod.acme.mail}:mirror"
    assert KEYS.mirror_lease == "lb:{prod.acme.mail}:mirror-lease"
    assert KEYS.rates == "lb:{prod.acme.mail}:rates"
    assert KEYS.watermark_channel == "lb:{prod.acme.mail}:watermark"
    assert KEYS.task("018f:x.1") == "lb:{prod.acme.mail}:task:018f:x.1"
    assert GROUP == "workers"


def every_key(keys):
    return [
        keys.generation,
        *keys.lanes,
        keys.journal,
        keys.delayed,
        keys.retrying,
        keys.mirror,
        keys.mirror_lease,
        keys.rates,
        keys.watermark_channel,
        keys.task("generation"),
        keys.task("journal"),
    ]


def test_no_two_keys_of_a_queue_are_the_same():
    assert len(set(every_key(KEYS))) == len(every_key(KEYS))


def test_all_keys_of_a_queue_share_one_cluster_slot():
    tags = {key[key.index("{") : key.index("}") + 1] for key in every_key(KEYS)}
    assert tags == {"{prod.acme.mail}"}
    # The first braces count, whatever the id of a task holds.
    assert all(key.startswith(KEYS.prefix) for key in every_key(KEYS))


def test_no_two_queues_share_a_prefix():
    # Names hold no dot, so the parts cannot run into each other.
    words = ("a", "a-b", "b", "a_b", "ab")
    prefixes = [
        QueueKeys(env, QueueName(tenant, queue)).prefix
        for env, tenant, queue in product(words, repeat=3)
    ]
    assert len(set(prefixes)) == len(prefixes)
