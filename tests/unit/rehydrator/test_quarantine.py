"""What goes to the quarantine can always be written, whatever a broken message carries."""

import hashlib

from rehydrator.holdings import Suspect
from rehydrator.quarantine import plain_headers, publication_of, quarantine_id, record_of
from rehydrator.source import Delivery, Lane


def suspect(**members):
    lane = object.__new__(Lane)
    given = {"headers": {}, "body": b"x", "type": None, "message_id": "m1"} | members
    delivery = Delivery(lane=lane, tag=1, redelivered=False, **given)
    return Suspect(delivery, "DIGEST_DIFFERS", "It differs.", "acme", "mail", "t1")


def test_the_id_is_the_same_for_the_same_message():
    assert quarantine_id(suspect()) == quarantine_id(suspect(body=b"other"))
    assert quarantine_id(suspect()) != quarantine_id(suspect(message_id="m2"))
    nameless = suspect(message_id=None)
    assert quarantine_id(nameless) == quarantine_id(suspect(message_id=None))
    assert quarantine_id(nameless) != quarantine_id(suspect(message_id=None, body=b"other"))


def test_headers_of_any_kind_become_bounded_text():
    headers = plain_headers({"a.$\0b": b"\xff", "n": 5, "t": {"x": [1]}, "long": "z" * 9_000})
    assert headers == {"a___b": "\ufffd", "n": "5", "t": "{'x': [1]}", "long": "z" * 1_000}
    assert len(plain_headers({str(n): n for n in range(500)})) == 60


def test_the_message_keeps_its_body_and_names_its_record():
    body = b"\x00" * (9 * 1_048_576)
    big = suspect(body=body, headers={"x-digest": "00"})
    publication = publication_of(big, 7)
    assert hashlib.sha256(publication.body).digest() == hashlib.sha256(body).digest()
    assert publication.headers["x-quarantine-id"] == record_of(big, 7_000).id
    assert publication.headers["x-digest"] == "00"
    assert (publication.exchange, publication.routing_key) == ("", "lifeboat.quarantine")
    assert len(record_of(big, 7_000).body) == 8 * 1_048_576
