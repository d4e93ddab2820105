"""Envelopes that lie in somebody's RabbitMQ decode for ever, to the same fields and the same bytes.

A golden file is never changed; a new schema brings new files.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import envelope as envelopes
from app.envelope import decode, encode, request_digest
from app.errors import EnvelopeError, UnsupportedSchema
from app.names import QueueName, TaskKey

FOLDER = Path(__file__).parent / "golden"
AT_MS = 1_790_000_000_000
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HOOK = {
    "url": "https://example.org/hook",
    "json": {"n": [1, 2.5, -3, None, True, False, ""], "deep": {"a": {"b": {"c": {}}}}},
    "expect": [200, 299],
}
RETRY = {
    "maxAttempts": 5,
    "baseDelayMs": 1_000,
    "factor": 1.5,
    "maxDelayMs": 60_000,
    "jitter": 0.1,
}
ODD = {
    "grüße": 'żółć 漢字 🚀 \u0001\u007f\u2028"\\/\t',
    "": [],
    "\U0001f600": {"\u00e9": "e\u0301"},
}
MINIMAL_DIGEST = "5945f05e8ba102fbad97aa706e0b0457402bacd83f5741a31d0337e96ab8d208"

# name: SHA-256 of the file, and what is in it.
GOLDEN = {
    "minimal": (
        "17060410c1124573dde128e15e982df901e30acbcb9b54af44aa3b5673f3c9cb",
        {
            "key": TaskKey("default", "default", "0199f5b2-7c00-7abc-8def-0123456789ab"),
            "request_digest": MINIMAL_DIGEST,
        },
    ),
    "every-option": (
        "715e1f44fc861d23d7c0d3ca799b0f58b752bdf123b8cc46ef0c1c5be2e4100d",
        {
            "key": TaskKey("acme", "order_mail-2", "order:17.a_b-c"),
            "type": "http.deliver",
            "payload": HOOK,
            "context": {
                "channel": "telegram",
                "idempotencyKey": "telegram:bot:4711",
                "traceparent": TRACEPARENT,
                "user": "ana",
                "chatId": -100123,
            },
            "options": {
                "priority": "high",
                "notBefore": AT_MS + 60_000,
                "expiresAt": AT_MS + 86_400_000,
                "timeoutMs": 45_000,
                "retry": RETRY,
                "events": True,
            },
            "priority": "high",
            "not_before_ms": AT_MS + 60_000,
            "expires_at_ms": AT_MS + 86_400_000,
            "timeout_ms": 45_000,
            "retry": RETRY,
            "request_digest": "c008f3bbbfd5c412a02975778bb7b89b5c7577011ee32ab3ca1e4e2000db0439",
        },
    ),
    "delays": (
        "7beff0e7f7d19ad229aa95797b7cc93088b01fe0e731b88076d7573de8e1a98c",
        {
            "key": TaskKey("acme", "mail", "with-delays"),
            "payload": {"to": "x"},
            "context": {"channel": "python", "chatId": "room-1"},
            "options": {
                "priority": "low",
                "notBefore": AT_MS + 60_000,
                "retry": {"delaysMs": [1_000, 5_000, 30_000], "jitter": 0},
            },
            "priority": "low",
            "not_before_ms": AT_MS + 60_000,
            "retry": {"delaysMs": [1_000, 5_000, 30_000], "jitter": 0},
            "request_digest": "3e2408f360af8c1b1367efd0bf6953194f690b15c13f69b51326c0790b83532e",
        },
    ),
    "unicode": (
        "5a7b8f4849654712af95555f971ed61210ba30a0908491e887a90d21c8956ce5",
        {
            "key": TaskKey("acme", "mail", "unicode"),
            "payload": ODD,
            "context": {"channel": "cli", "user": "Zoë"},
            "request_digest": "d3b6395042e178f8b4285b2d7a483906a3b36ee967a2c4eb2bfeb47ba4963de9",
        },
    ),
    "run-2": (
        "9db5a444eb7f9be50267f5f580e562553ba611b8cde76c8c22d5baad15ea360d",
        {
            "key": TaskKey("acme", "mail", "redriven"),
            "payload": {"to": "second@example.org"},
            "context": {"channel": "http"},
            "run": 2,
            "accepted_at_ms": AT_MS + 900_000,
            # The first run's: its payload was another.
            "request_digest": "4fe93fe14b81b547d437ef8e7a32a699dd006cdf4b10b7d62e682c01b840ec50",
        },
    ),
    "unknown-members": (
        "adb98ab5cbe026226b18bdfc883bc339a5cabe5f70e5fdf67f0a59431a57614c",
        {
            "key": TaskKey("default", "default", "0199f5b2-7c00-7abc-8def-0123456789ab"),
            "context": {"later": {"a": 1}},
            "options": {"laterOption": "x"},
            "request_digest": MINIMAL_DIGEST,
        },
    ),
}
USUAL = {
    "type": "mail.send",
    "payload": {},
    "context": {},
    "options": {},
    "run": 1,
    "accepted_at_ms": AT_MS,
    "schema": 1,
    "priority": "normal",
    "not_before_ms": 0,
    "expires_at_ms": 0,
    "timeout_ms": None,
    "retry": None,
}
# What was submitted, of those whose digest is their own request's.
REQUESTS = {
    "minimal": {"type": "mail.send", "payload": {}, "durability": "fast", "context": {}},
    "every-option": {
        "type": "http.deliver",
        "payload": HOOK,
        "priority": "high",
        "notBefore": AT_MS + 60_000,
        "expiresAt": AT_MS + 86_400_000,
        "timeoutMs": 45_000,
        "retry": RETRY,
        "events": True,
        "onDegraded": "refuse",
    },
    "delays": {
        "type": "mail.send",
        "payload": {"to": "x"},
        "delayMs": 60_000,
        "priority": "low",
        "retry": {"delaysMs": [1_000, 5_000, 30_000], "jitter": 0},
    },
    "unicode": {"type": "mail.send", "payload": ODD, "queue": "mail", "taskId": "unicode"},
    "run-2": {"type": "mail.send", "payload": {"to": "first@example.org"}},
}


def golden(name):
    return (FOLDER / f"envelope-v1-{name}.json").read_bytes()


def independent_digest(request):
    """Contract section 3, by other means."""
    counted = ["type", "payload", "notBefore", "delayMs", "expiresAt"]
    counted += ["priority", "timeoutMs", "retry", "events"]
    chosen = {name: request[name] for name in counted if name in request}
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_every_golden_file_is_tested():
    assert {path.name for path in FOLDER.iterdir()} == {f"envelope-v1-{n}.json" for n in GOLDEN}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_bytes_are_pinned(name):
    assert hashlib.sha256(golden(name)).hexdigest() == GOLDEN[name][0]


@pytest.mark.parametrize("name", GOLDEN)
def test_it_decodes_to_the_stated_fields(name):
    envelope = decode(golden(name))
    expected = USUAL | GOLDEN[name][1]
    assert {field: getattr(envelope, field) for field in expected} == expected
    assert envelope.raw == golden(name)


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "unknown-members"])
def test_encoding_its_fields_again_gives_the_same_bytes(name):
    known = decode(golden(name))
    again = encode(
        key=known.key,
        type=known.type,
        payload=known.payload,
        context=known.context,
        options=known.options,
        run=known.run,
        digest=known.request_digest,
        accepted_at_ms=known.accepted_at_ms,
    )
    assert again.raw == golden(name)
    assert again == known


@pytest.mark.parametrize("name", REQUESTS)
def test_the_request_digest_is_pinned(name):
    assert request_digest(REQUESTS[name]) == GOLDEN[name][1]["request_digest"]
    assert independent_digest(REQUESTS[name]) == GOLDEN[name][1]["request_digest"]


def test_unknown_members_survive_in_the_bytes():
    envelope = decode(golden("unknown-members"))
    assert b'"later":[1, 2]' in envelope.raw
    assert b'"payload":{ }' in envelope.raw


def changed(**members):
    """The minimal envelope with members replaced, or left out where None."""
    document = orjson.loads(golden("minimal")) | members
    return orjson.dumps({name: value for name, value in document.items() if value is not None})


@pytest.mark.parametrize("schema", [2, 7, 1 << 60])
def test_a_newer_schema_asks_for_an_upgrade(schema):
    with pytest.raises(UnsupportedSchema, match=f"schema {schema}.*reads up to 1.*Upgrade"):
        decode(changed(schema=schema, payload="whatever", run=None))


@pytest.mark.parametrize("schema", [None, 0, -1, "1", 1.0, True, [1]])
def test_a_schema_that_is_none_is_refused(schema):
    with pytest.raises(EnvelopeError, match="schema"):
        decode(changed(schema=schema))


@pytest.mark.parametrize(
    ("member", "values"),
    {
        "taskId": (None, 7, "", "a b", "-a", "a" * 128, "a\n"),
        "type": (None, "", "a/b", "ü"),
        "queue": (None, "", "Mail", "a" * 64, "a\n", "_a"),
        "tenant": (None, "", "A", "a.b", 1),
        "payload": (None, [], "x", 1),
        "context": (None, [], ""),
        "options": (None, [], ""),
        "run": (None, 0, -1, True, "1", 1.0, (1 << 53) + 1, (1 << 64) - 1),
        "acceptedAt": (None, 0, "now", 1.5, (1 << 53) + 1),
        "requestDigest": (None, 7, []),
    }.items(),
)
def test_a_missing_or_wrong_member_is_named(member, values):
    for value in values:
        with pytest.raises(EnvelopeError, match=member):
            decode(changed(**{member: value}))


@pytest.mark.parametrize(
    ("option", "values"),
    {
        "priority": ("urgent", "", 1, [], {}, None),
        "notBefore": ("1", -1, 1.5, True, 1 << 60, []),
        "expiresAt": ("1", -1, {}),
        "timeoutMs": ("1", -1, 0.5),
        "retry": (
            [],
            "x",
            {"maxAttempts": "3"},
            {"baseDelayMs": -1},
            {"maxDelayMs": None},
            {"factor": "2"},
            {"jitter": None},
            {"delaysMs": 5},
            {"delaysMs": ["5"]},
        ),
    }.items(),
)
def test_a_strangers_option_is_named(option, values):
    for value in values:
        with pytest.raises(EnvelopeError, match=option):
            decode(changed(options={option: value}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"schema":NaN}',
        b'{"schema":1,"taskId":"\\ud800"}',
        b'{"schema":1,"taskId":"\xed\xa0\x80"}',
        b"[" * 100_000,
        b'{"schema":' * 5_000,
        b'{"schema":1e999}',
        b'{"schema":' + b"9" * 400 + b"}",
    ],
)
def test_what_is_no_envelope_is_said_to_be_none(raw):
    with pytest.raises(EnvelopeError):
        decode(raw)


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
# Floats are left out where Python's and orjson's texts differ: both are JSON, the digest is orjson's.
NUMBERS = st.integers(-(1 << 53), 1 << 53) | st.integers(-4_000, 4_000).map(lambda n: n / 4)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
MEMBERS = ("schema", "taskId", "type", "queue", "tenant", "payload", "context", "options", "run")


@given(st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_decoding_anything_is_an_envelope_error_or_an_envelope(raw):
    with pytest.raises(EnvelopeError):
        decode(raw)


@given(
    st.sampled_from(sorted(GOLDEN)),
    st.dictionaries(st.sampled_from((*MEMBERS, "requestDigest", "acceptedAt")), JSON, max_size=3),
    st.dictionaries(st.sampled_from((*envelopes.DIGEST_FIELDS, "later")), JSON, max_size=3),
)
def test_decoding_a_damaged_envelope(name, members, options):
    document = orjson.loads(golden(name)) | members
    if isinstance(document["options"], dict):
        document["options"] |= options
    raw = orjson.dumps(document)
    try:
        envelope = decode(raw)
    except EnvelopeError as error:
        assert str(error).startswith("The envelope")
    else:
        assert envelope.raw == raw
        assert envelope.priority in envelopes.PRIORITIES
        assert isinstance(envelope.not_before_ms + envelope.expires_at_ms, int)
        assert envelope.key.full.count("/") == 2


@given(st.sampled_from(sorted(GOLDEN)), st.data())
@settings(max_examples=200)
def test_decoding_damaged_bytes(name, data):
    raw = bytearray(golden(name))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(EnvelopeError):
        assert decode(bytes(raw)).raw == bytes(raw)


@given(
    payload=st.dictionaries(TEXT, JSON, max_size=4),
    others=st.dictionaries(st.sampled_from(envelopes.DIGEST_FIELDS[2:]), JSON, max_size=4),
    ignored=st.dictionaries(st.sampled_from(["durability", "onDegraded", "context"]), JSON),
)
def test_the_request_digest_is_the_canonical_json_of_its_fields(payload, others, ignored):
    request = {"type": "a.b", "payload": payload, **others}
    digest = request_digest(request | ignored)
    assert digest == independent_digest(request | ignored)
    assert digest == request_digest(dict(reversed(list(request.items()))))
    assert digest != request_digest({**request, "type": "a.c"})


@given(payload=st.dictionaries(TEXT, JSON, max_size=4), run=st.integers(1, 1 << 53))
def test_what_is_written_reads_back(payload, run):
    written = encode(
        key=QueueName("acme", "mail").task("t"),
        type="a",
        payload=payload,
        context={"channel": "http"},
        options={"priority": "low"},
        run=run,
        digest="d",
        accepted_at_ms=1,
    )
    assert decode(written.raw) == written


@pytest.mark.parametrize("value", [1 << 64, {1}, "\ud800", {1: 2}, object()])
def test_what_json_cannot_say_is_not_written(value):
    with pytest.raises(EnvelopeError, match="cannot be encoded"):
        encode(
            key=QueueName("acme", "mail").task("t"),
            type="a",
            payload={"x": value},
            context={},
            options={},
            run=1,
            digest="d",
            accepted_at_ms=1,
        )
