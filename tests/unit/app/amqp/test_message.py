"""The message of a copy: the header table, and reading it back."""

import hashlib

import pytest

from app.amqp.message import (
    Copy,
    Fence,
    Origin,
    Unreadability,
    Unreadable,
    copy_publication,
    fence_publication,
    read_copy,
)
from app.envelope import decode, encode
from app.names import QueueName

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ORIGIN = Origin(env="prod", ledger="ledger-1", generation="gen-1", journal_id="1700000000123-4")
ENVELOPE = encode(
    key=QueueName("acme", "mail").task("order-17"),
    type="http.deliver",
    payload={"url": "https://example.com/ü"},
    context={"channel": "http", "traceparent": TRACEPARENT},
    options={"priority": "high"},
    run=2,
    digest="ab" * 32,
    accepted_at_ms=1_700_000_000_123,
)
PUBLICATION = copy_publication(ENVELOPE, ORIGIN, 1_700_000_001)


def test_the_header_table():
    assert dict(PUBLICATION.headers) == {
        "traceparent": TRACEPARENT,
        "x-accepted-at": 1_700_000_000_123,
        "x-digest": hashlib.sha256(ENVELOPE.raw).hexdigest(),
        "x-env": "prod",
        "x-generation": "gen-1",
        "x-journal-id": "1700000000123-4",
        "x-ledger": "ledger-1",
        "x-queue": "mail",
        "x-run": 2,
        "x-schema": 1,
        "x-task-id": "order-17",
        "x-tenant": "acme",
    }


def test_the_properties():
    assert PUBLICATION.exchange == "lifeboat.tasks"
    assert PUBLICATION.routing_key == "mail.acme.http.deliver"
    assert PUBLICATION.body == ENVELOPE.raw
    assert PUBLICATION.correlation_id == "order-17"
    assert PUBLICATION.type == "http.deliver"
    assert PUBLICATION.app_id == "lifeboat"
    assert PUBLICATION.content_type == "application/vnd.lifeboat.envelope+json"
    assert PUBLICATION.delivery_mode == 2
    assert PUBLICATION.timestamp_s == 1_700_000_001


def test_no_traceparent_no_header():
    envelope = decode(ENVELOPE.raw.replace(TRACEPARENT.encode(), b""))
    assert "traceparent" not in copy_publication(envelope, ORIGIN, 0).headers


def test_a_task_that_never_was_in_redis_has_no_journal_id():
    headers = copy_publication(ENVELOPE, Origin("prod", "ledger-1"), 0).headers
    assert headers["x-generation"] == headers["x-journal-id"] == ""
    assert isinstance(read_copy(headers, ENVELOPE.raw, "http.deliver"), Copy)


def test_a_fence():
    fence = fence_publication("mail", "run-9", 7)
    assert (fence.exchange, fence.routing_key) == ("", "lifeboat.mirror.mail")
    assert (fence.type, fence.body, dict(fence.headers)) == (
        "lifeboat.fence",
        b"",
        {"x-fence": "run-9"},
    )
    assert read_copy(fence.headers, fence.body, fence.type) == Fence("run-9")


def test_a_task_of_a_fences_type_is_a_copy():
    envelope = decode(ENVELOPE.raw.replace(b"http.deliver", b"lifeboat.fence"))
    copy = copy_publication(envelope, ORIGIN, 1_700_000_001)
    assert read_copy(copy.headers, copy.body, copy.type) == Copy(envelope, ORIGIN)


def test_a_copy_reads_back():
    copy = read_copy(PUBLICATION.headers, PUBLICATION.body, PUBLICATION.type)
    assert copy == Copy(ENVELOPE, ORIGIN)


def changed(**headers):
    table = dict(PUBLICATION.headers) | {k.replace("_", "-"): v for k, v in headers.items()}
    return {name: value for name, value in table.items() if value is not None}


@pytest.mark.parametrize(
    ("headers", "body", "reason", "named"),
    [
        ({}, b"", Unreadability.HEADERS_MISSING, "x-digest"),
        (changed(x_ledger=None), ENVELOPE.raw, Unreadability.HEADERS_MISSING, "x-ledger"),
        (changed(x_env=7), ENVELOPE.raw, Unreadability.HEADERS_MISSING, "x-env"),
        (changed(), ENVELOPE.raw + b" ", Unreadability.DIGEST_DIFFERS, "SHA-256"),
        (changed(), b"", Unreadability.DIGEST_DIFFERS, "SHA-256"),
        (changed(x_task_id="other"), ENVELOPE.raw, Unreadability.HEADERS_DIFFER, "x-task-id"),
        (changed(x_run=3), ENVELOPE.raw, Unreadability.HEADERS_DIFFER, "x-run"),
        (changed(x_tenant="x"), ENVELOPE.raw, Unreadability.HEADERS_DIFFER, "x-tenant"),
        (changed(x_queue=None), ENVELOPE.raw, Unreadability.HEADERS_DIFFER, "x-queue"),
        (changed(x_schema="1"), ENVELOPE.raw, Unreadability.HEADERS_DIFFER, "x-schema"),
        (changed(x_accepted_at=0), ENVELOPE.raw, Unreadability.HEADERS_DIFFER, "x-accepted-at"),
    ],
)
def test_unreadable_messages(headers, body, reason, named):
    found = read_copy(headers, body, "http.deliver")
    assert isinstance(found, Unreadable)
    assert found.reason is reason
    assert named in found.detail


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (ENVELOPE.raw.replace(b'"schema":1', b'"schema":2'), Unreadability.SCHEMA_TOO_NEW),
        (b"{}", Unreadability.NOT_AN_ENVELOPE),
        (b"\xff", Unreadability.NOT_AN_ENVELOPE),
    ],
)
def test_bodies_that_are_whole_and_yet_unreadable(body, reason):
    headers = changed(x_digest=hashlib.sha256(body).hexdigest())
    found = read_copy(headers, body, "http.deliver")
    assert isinstance(found, Unreadable)
    assert found.reason is reason
    assert (found.tenant, found.queue, found.task_id) == ("acme", "mail", "order-17")
