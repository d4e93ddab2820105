"""Requests: what becomes of a body, and what of an envelope that was written before."""

import orjson
import pytest

from app.envelope import encode, request_digest
from app.errors import InvalidTask
from app.handlers.payload import DELIVER, HttpDeliverPayload
from app.names import QueueName, derived_task_id
from app.task_queue.request import Origin, Rules, TooLarge, read_envelope, read_request

NOW_MS = 1_700_000_000_000
RULES = Rules(
    tenant="acme",
    durability="mirrored",
    on_degraded="accept",
    envelope_bytes_max=2_000,
    context_chars_max=256,
    payloads={DELIVER: HttpDeliverPayload},
)
BODY = {"type": "report", "payload": {"n": 1}}


HTTP = Origin("http")


def read(origin=HTTP, **members):
    return read_request(BODY | members, RULES, origin, NOW_MS)


def pointers(refused):
    return [each.pointer for each in refused.value.problems]


def test_the_least_request():
    prepared = read()
    envelope = prepared.envelope
    assert prepared.fresh
    assert (prepared.durability, prepared.on_degraded) == ("mirrored", "accept")
    assert (envelope.queue, envelope.tenant, envelope.run) == ("default", "acme", 1)
    assert envelope.options == {}
    assert envelope.context == {"channel": "http"}
    assert envelope.accepted_at_ms == NOW_MS
    assert envelope.request_digest == request_digest(BODY)


def test_a_delay_becomes_a_due_time_but_the_digest_knows_what_was_given():
    delayed = read(delayMs=5).envelope
    assert delayed.options == {"notBefore": NOW_MS + 5}
    assert delayed.request_digest == request_digest(BODY | {"delayMs": 5})
    assert delayed.request_digest != read(notBefore=NOW_MS + 5).envelope.request_digest


def test_what_does_not_make_another_request():
    one = read(taskId="t1", durability="fast", context={"user": "a"}).envelope
    two = read(taskId="t1", onDegraded="refuse", context={"user": "b"}).envelope
    assert one.request_digest == two.request_digest


@pytest.mark.parametrize("origin", [Origin("http", key="k"), HTTP])
def test_an_id_that_is_given_or_derived_is_not_fresh(origin):
    context = {} if origin.key else {"context": {"idempotencyKey": "k"}}
    prepared = read(origin, **context)
    assert not prepared.fresh
    assert prepared.envelope.task_id == derived_task_id(QueueName("acme", "default"), "k")
    assert prepared.envelope.context["idempotencyKey"] == "k"
    assert not read(taskId="t1").fresh


@pytest.mark.parametrize(
    ("origin", "pointer"),
    [
        (Origin("http", key="a b"), "#/context/idempotencyKey"),
        (Origin("http", key="k" * 256), "#/context/idempotencyKey"),
        (Origin("http", traceparent="0" * 257), "#/context/traceparent"),
    ],
)
def test_what_comes_beside_the_body_is_judged_as_if_it_came_inside(origin, pointer):
    with pytest.raises(InvalidTask) as refused:
        read(origin)
    assert pointers(refused) == [pointer]


def test_an_envelope_beyond_its_limit_is_too_large():
    with pytest.raises(TooLarge):
        read(payload={"s": "x" * 2_000})


def written(**members):
    envelope = encode(
        key=QueueName("acme", "mail").task("t1"),
        type="report",
        payload={},
        context={"channel": "cli", "idempotencyKey": "k"},
        options={"priority": "low", "of-tomorrow": 1},
        run=4,
        digest="ab" * 32,
        accepted_at_ms=5,
    )
    return orjson.dumps(orjson.loads(envelope.raw) | members)


def test_an_envelope_keeps_its_bytes_its_run_and_its_digest():
    raw = written(ofTomorrow=True)
    prepared = read_envelope(raw, RULES)
    assert prepared.envelope.raw == raw
    assert (prepared.envelope.run, prepared.envelope.request_digest) == (4, "ab" * 32)
    assert not prepared.fresh


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"tenant": "other"}, "#/tenant"),
        ({"requestDigest": "AB" * 32}, "#/requestDigest"),
        ({"run": 1_000_001}, "#/run"),
        ({"acceptedAt": 10**15}, "#/acceptedAt"),
        ({"options": {"retry": {"maxAttempts": 0}}}, "#/options/retry/maxAttempts"),
        ({"context": {"user": "x" * 257}}, "#/context/user"),
        ({"type": "http.deliver"}, "#/payload/url"),
    ],
)
def test_a_strangers_envelope_is_judged_like_a_request(members, pointer):
    with pytest.raises(InvalidTask) as refused:
        read_envelope(written(**members), RULES)
    assert pointers(refused) == [pointer]
