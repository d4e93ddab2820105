"""Every limit and rule of a submit: the documented refusal, and stores that hold nothing after."""

import asyncio
import gzip
from dataclasses import dataclass, field

import orjson
import pytest

from app.api import protocol
from app.clock import now_ms
from app.envelope import encode
from app.names import QueueName
from app.task_queue.request import LATEST_MS
from tests.integration.api.api import ENVELOPE, TASK

DAY_MS = 86_400_000
MIB = 1_048_576
DELIVER = {"type": "http.deliver", "payload": {"url": "https://example.org/"}}


@dataclass(frozen=True)
class Bad:
    """What is sent, and what it must be answered with."""

    name: str
    body: object
    status: int = 422
    code: str = "invalid_task"
    pointers: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    @property
    def raw(self):
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


def task(name, pointer, **members):
    """A submit whose members break the rule ``pointer`` tells of."""
    return Bad(name, TASK | members, pointers=[pointer])


def deliver(name, pointer, **members):
    payload = DELIVER["payload"] | members
    return Bad(name, DELIVER | {"payload": payload}, pointers=[pointer])


def malformed(name, raw, **members):
    return Bad(name, raw, 400, "malformed_json", **members)


def without(member):
    return {name: value for name, value in TASK.items() if name != member}


def nested(levels):
    return b'{"type":"report","payload":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


def envelope(**members):
    written = encode(
        key=QueueName("default", "default").task("t1"),
        type="report",
        payload={},
        context={"channel": "http"},
        options={},
        run=1,
        digest="ab" * 32,
        accepted_at_ms=1,
    )
    return orjson.dumps(orjson.loads(written.raw) | members)


def bad_envelope(name, pointer, **members):
    return Bad(name, envelope(**members), pointers=[pointer], content_type=ENVELOPE)


JSON = [
    malformed("no body", b""),
    malformed("no JSON", b"{type: report}"),
    malformed("cut off", b'{"type":"report","payload":{'),
    malformed("two documents", b"{} {}"),
    malformed("NaN", b'{"type":"report","payload":{"n":NaN}}'),
    malformed("Infinity", b'{"type":"report","payload":{"n":-Infinity}}'),
    malformed("a lone surrogate", b'{"type":"report","payload":{"s":"\\ud800"}}'),
    malformed("bad UTF-8", b'{"type":"report","payload":{"s":"\xff\xfe"}}'),
    malformed("UTF-16", '{"type":"report","payload":{}}'.encode("utf-16")),
    malformed("a byte order mark", b'\xef\xbb\xbf{"type":"report","payload":{}}'),
    malformed("a duplicate key", b'{"type":"report","type":"other","payload":{}}'),
    malformed("a duplicate key deep inside", b'{"type":"report","payload":{"a":[{"b":1,"b":2}]}}'),
    malformed("an escaped duplicate key", b'{"type":"report","payload":{"a":1,"\\u0061":2}}'),
    malformed("a control character", b'{"type":"report","payload":{"s":"\x01"}}'),
    malformed("a comment", b'{"type":"report",/* x */"payload":{}}'),
    Bad("a list", [TASK], pointers=["#"]),
    Bad("a string", "report", pointers=["#"]),
    Bad("null", None, pointers=["#"]),
    Bad("too deep", nested(64), pointers=["#/payload" + "/a" * 63]),
    Bad("far too deep", nested(5_000), pointers=["#"]),
    Bad("never closed", b"[" * 100_000, pointers=["#"]),
    Bad(
        "an integer beyond 64 bit",
        b'{"type":"report","payload":{"n":18446744073709551616}}',
        pointers=["#/payload/n"],
    ),
]

TRANSPORT = [
    Bad("a form", b"type=report", 415, "unsupported_media_type", content_type="text/plain"),
    Bad("no content type", TASK, 415, "unsupported_media_type", content_type=""),
    Bad(
        "another charset",
        TASK,
        415,
        "unsupported_media_type",
        content_type="application/json; charset=latin-1",
    ),
    Bad(
        "compressed",
        gzip.compress(orjson.dumps(TASK)),
        415,
        "unsupported_media_type",
        headers={"Content-Encoding": "gzip"},
    ),
    Bad("too large", TASK | {"payload": {"s": "x" * MIB}}, 413, "payload_too_large"),
    Bad("far too large", TASK | {"payload": {"s": "x" * 4 * MIB}}, 413, "payload_too_large"),
    Bad(
        "too large by its characters alone",
        TASK | {"payload": {"s": "я" * (MIB // 2)}},
        413,
        "payload_too_large",
    ),
]

NAMES = [
    Bad("no type", without("type"), pointers=["#/type"]),
    Bad("no payload", without("payload"), pointers=["#/payload"]),
    Bad("nothing at all", {}, pointers=["#/type", "#/payload"]),
    task("a type that is a number", "#/type", type=7),
    task("an empty type", "#/type", type=""),
    task("a type with a slash", "#/type", type="a/b"),
    task("a type with a dot in front", "#/type", type=".a"),
    task("a type of 128 characters", "#/type", type="a" * 128),
    task("a type with a line break", "#/type", type="report\n"),
    task("the type of a run's marks", "#/type", type="lifeboat.fence"),
    task("a queue in capitals", "#/queue", queue="Mail"),
    task("a queue with a dot", "#/queue", queue="a.b"),
    task("a queue of 64 characters", "#/queue", queue="a" * 64),
    task("an empty queue", "#/queue", queue=""),
    task("a queue that is null", "#/queue", queue=None),
    task("an empty id", "#/taskId", taskId=""),
    task("an id with a slash", "#/taskId", taskId="a/b"),
    task("an id with a space", "#/taskId", taskId="a b"),
    task("an id in Cyrillic", "#/taskId", taskId="задача"),
    task("an id of 128 characters", "#/taskId", taskId="a" * 128),
    task("an id that is a number", "#/taskId", taskId=17),
    task("a payload that is a list", "#/payload", payload=[1]),
    task("a payload that is a string", "#/payload", payload="{}"),
    task("an unknown field", "#/colour", colour="red"),
    task("a field in snake case", "#/task_id", task_id="t1"),
    task("a tenant", "#/tenant", tenant="other"),
]

OPTIONS = [
    task("an unknown priority", "#/priority", priority="urgent"),
    task("a negative delay", "#/delayMs", delayMs=-1),
    task("a delay of more than 366 days", "#/delayMs", delayMs=366 * DAY_MS + 1),
    task("a delay that is a fraction", "#/delayMs", delayMs=1.5),
    task("a delay that is a string", "#/delayMs", delayMs="5"),
    task("a delay that is a boolean", "#/delayMs", delayMs=True),
    task("a negative due time", "#/notBefore", notBefore=-1),
    task("a due time in more than 366 days", "#/notBefore", notBefore=now_ms() + 400 * DAY_MS),
    task("delay and due time", "#/delayMs", delayMs=1, notBefore=1),
    task("an end at 0", "#/expiresAt", expiresAt=0),
    task("too short a timeout", "#/timeoutMs", timeoutMs=99),
    task("too long a timeout", "#/timeoutMs", timeoutMs=DAY_MS + 1),
    task("no attempts", "#/retry/maxAttempts", retry={"maxAttempts": 0}),
    task("101 attempts", "#/retry/maxAttempts", retry={"maxAttempts": 101}),
    task("a jitter above 1", "#/retry/jitter", retry={"jitter": 1.1}),
    task("a negative jitter", "#/retry/jitter", retry={"jitter": -0.1}),
    task("a factor below 1", "#/retry/factor", retry={"factor": 0.5}),
    task("a negative base delay", "#/retry/baseDelayMs", retry={"baseDelayMs": -1}),
    task("too long a delay", "#/retry/maxDelayMs", retry={"maxDelayMs": 367 * DAY_MS}),
    task("100 delays", "#/retry/delaysMs", retry={"delaysMs": [1] * 100}),
    task("a negative delay in a list", "#/retry/delaysMs/1", retry={"delaysMs": [1, -1]}),
    task("two kinds of retry", "#/retry/factor", retry={"delaysMs": [1], "factor": 2}),
    task("an unknown member of retry", "#/retry/attempts", retry={"attempts": 3}),
    task("a retry that is null", "#/retry", retry=None),
    task("events as a word", "#/events", events="yes"),
    task("an unknown durability", "#/durability", durability="safe"),
    task("an unknown reaction", "#/onDegraded", onDegraded="ignore"),
]

CONTEXT = [
    task("a context text of 257 characters", "#/context/user", context={"user": "я" * 257}),
    task("a chat id of 257 characters", "#/context/chatId", context={"chatId": "x" * 257}),
    task("a chat id that is a list", "#/context/chatId", context={"chatId": [1]}),
    task("an unknown channel", "#/context/channel", context={"channel": "fax"}),
    task("an unknown member of context", "#/context/mood", context={"mood": "good"}),
    task("an empty key", "#/context/idempotencyKey", context={"idempotencyKey": ""}),
    task("a key with a space", "#/context/idempotencyKey", context={"idempotencyKey": "a b"}),
    task("a key of 256", "#/context/idempotencyKey", context={"idempotencyKey": "k" * 256}),
    task("an id and a key", "#/taskId", taskId="t1", context={"idempotencyKey": "k"}),
    Bad(
        "an id and a header",
        TASK | {"taskId": "t1"},
        pointers=["#/taskId"],
        headers={"Idempotency-Key": "k"},
    ),
    Bad(
        "an empty header",
        TASK,
        pointers=["#/context/idempotencyKey"],
        headers={"Idempotency-Key": '""'},
    ),
    Bad(
        "a header with a space",
        TASK,
        pointers=["#/context/idempotencyKey"],
        headers={"Idempotency-Key": "a b"},
    ),
    Bad(
        "a header and another key",
        TASK | {"context": {"idempotencyKey": "a"}},
        pointers=["#/context/idempotencyKey"],
        headers={"Idempotency-Key": "b"},
    ),
    Bad(
        "a long traceparent",
        TASK,
        pointers=["#/context/traceparent"],
        headers={"traceparent": "0" * 257},
    ),
    Bad(
        "three things at once",
        TASK | {"type": "", "delayMs": -1, "colour": 1},
        pointers=["#/type", "#/delayMs", "#/colour"],
    ),
]

DELIVERIES = [
    deliver("an unknown field of http.deliver", "#/payload/verify", verify=False),
    deliver("no URL", "#/payload/url", url=""),
    deliver("a URL of another scheme", "#/payload/url", url="file:///etc/passwd"),
    deliver("a URL without a host", "#/payload/url", url="https:///x"),
    deliver("a URL of 8,193 characters", "#/payload/url", url="http://a/".ljust(8_193, "x")),
    deliver("an unknown method", "#/payload/method", method="BREW"),
    deliver("a header with a line break", "#/payload/headers", headers={"X": "a\r\nY: b"}),
    deliver("a header that is a number", "#/payload/headers/X", headers={"X": 1}),
    deliver("two bodies", "#/payload", json={}, body=""),
    deliver("a range backwards", "#/payload/expect", expect=[299, 200]),
    deliver("a status that is none", "#/payload/expect/1", expect=[200, 1000]),
]

ENVELOPES = [
    malformed("an envelope that is no JSON", b"lifeboat", content_type=ENVELOPE),
    bad_envelope("another tenant's envelope", "#/tenant", tenant="other"),
    bad_envelope("an envelope of a mark's type", "#/type", type="lifeboat.fence"),
    bad_envelope("an envelope with a bad id", "#", taskId="a/b"),
    bad_envelope("an envelope of tomorrow", "#/schema", schema=2),
    bad_envelope("an envelope of run 0", "#", run=0),
    bad_envelope("an envelope of run 10^9", "#/run", run=10**9),
    bad_envelope("an envelope without a digest", "#/requestDigest", requestDigest="?"),
    bad_envelope("an envelope with a bad priority", "#", options={"priority": "x"}),
    bad_envelope("an envelope in a hurry", "#/options/timeoutMs", options={"timeoutMs": 1}),
    bad_envelope("an envelope with a bad context", "#/context/channel", context={"channel": "x"}),
    Bad(
        "an envelope as a plain submit",
        envelope(),
        pointers=["#/tenant", "#/schema", "#/options", "#/run", "#/requestDigest", "#/acceptedAt"],
    ),
]

ALL = [*JSON, *TRANSPORT, *NAMES, *OPTIONS, *CONTEXT, *DELIVERIES, *ENVELOPES]


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
async def test_it_is_refused_and_nothing_is_kept(api, stores, bad):
    answer = await api.post(bad.raw, content_type=bad.content_type, headers=bad.headers)
    assert (answer.status, answer.code) == (bad.status, bad.code)
    assert sorted(answer.pointers) == sorted(bad.pointers)
    assert answer.document["detail"]
    assert await stores.nothing_is_kept()


async def test_what_lies_just_within_the_limits_is_taken(api):
    at_the_edge = {
        "type": "a" * 127,
        "payload": {"n": 2**64 - 1, "m": -(2**63)},
        "taskId": "A" * 127,
        "queue": "q" * 63,
        "delayMs": 366 * DAY_MS,
        "timeoutMs": DAY_MS,
        "expiresAt": 1,
        "retry": {"maxAttempts": 100, "factor": 1, "jitter": 1},
        "context": {"user": "я" * 256, "chatId": -1},
    }
    assert (await api.submit(at_the_edge)).status == 202
    assert (await api.post(nested(63))).status == 202
    assert (await api.submit(headers={"Idempotency-Key": "~" * 255})).status == 202
    assert (await api.submit(TASK | {"payload": {"s": "x" * (MIB - 500)}})).status == 202
    escaped = b'{"type":"report","payload":{"s":"' + b"\\u044f" * (MIB // 3) + b'"}}'
    assert (await api.post(escaped, content_type='application/json; charset="UTF-8"')).status == 202


async def talk(api, *parts):
    """What the API says to bytes on a plain socket, until it closes."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(25):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return int(head.split()[1]), head.lower(), orjson.loads(body)


HEAD = b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + b"X: " + b"x" * 20_000 + b"\r\n\r\n"],
        [HEAD, b"X: " + b"x" * 10_000, b"x" * 10_000, b"\r\n\r\n"],
        # Never ends its line, and then nothing more comes.
        [HEAD + b"X: ", *[b"x" * 8_192] * 60],
        [HEAD, *[b"X-%d: y\r\n" % n for n in range(2_000)], b"\r\n"],
        [b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
    ],
    ids=["one header", "in parts", "endless", "many", "a long target"],
)
async def test_large_headers_are_refused_by_the_server_itself(api, stores, parts):
    status, head, problem = await talk(api, *parts)
    assert (status, problem["code"]) == (431, "headers_too_large")
    assert b"content-type: application/problem+json" in head
    assert await stores.nothing_is_kept()
    assert (await api.submit(headers={"X": "x" * 15_000})).status == 202


async def test_a_head_that_does_not_come_in_time_is_refused(start, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.2)
    api = await start()
    status, head, problem = await talk(api, HEAD)
    assert (status, problem["code"]) == (408, "request_timeout")
    assert b"connection: close" in head
    host, port = api.url.removeprefix("http://").split(":")
    silent, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(25):
        assert await silent.read() == b""
    writer.close()


async def test_what_is_no_http_is_a_problem_too(api):
    status, head, problem = await talk(api, b"EHLO example.org\r\n\r\n")
    assert (status, problem["code"]) == (400, "malformed_request")
    assert b"connection: close" in head


async def test_a_body_cut_off_leaves_nothing(api, stores):
    host, port = api.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(HEAD + b"Content-Length: 100\r\n\r\n" + b'{"type":"report"')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await api.get("/livez")).status == 200
    assert await stores.nothing_is_kept()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/tasks/", 404, "not_found"),
        ("POST", "/v1/tasks/t1/forget", 404, "not_found"),
        ("GET", "/v1/tasks", 405, "method_not_allowed"),
        ("DELETE", "/v1/tasks/t1", 405, "method_not_allowed"),
        ("POST", "/v1/queues", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem(api, method, path, status, code):
    answer = await api.call(method, path)
    assert (answer.status, answer.code) == (status, code)
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("GET", "/v1/tasks/t1?que=mail", ["que"]),
        ("GET", "/v1/queues?limt=3", ["limt"]),
        ("GET", "/v1/queues/default/tasks?stat=dead&limit=3", ["stat"]),
        ("GET", "/v1/queues/default/dead?limt=3&usr=ada", ["limt", "usr"]),
        ("GET", "/v1/quarantine?tenant=other", ["tenant"]),
        ("POST", "/v1/tasks?queue=mail", ["queue"]),
        ("POST", "/v1/tasks/batch?queue=mail", ["queue"]),
        ("POST", "/v1/tasks/t1/cancel?reason=", ["reason"]),
        ("POST", "/v1/rehydrations?dryRun=true", ["dryRun"]),
    ],
)
async def test_a_query_parameter_nobody_knows_is_refused(api, stores, method, path, names):
    before = await stores.redis_keys()
    answer = await api.call(method, path)
    assert (answer.status, answer.code) == (422, "invalid_task")
    assert answer.pointers == [f"?{name}" for name in names]
    assert await stores.redis_keys() == before


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/docs", "/openapi.json"])
async def test_what_probes_and_browsers_ask_for_may_have_any_query(api, path):
    assert (await api.get(f"{path}?now=1")).status == 200


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/tasks/a%20b", "#/taskId"),
        ("/v1/tasks/" + "a" * 128, "#/taskId"),
        ("/v1/tasks/t1?queue=Mail", "?queue"),
        ("/v1/tasks/t1?wait=-1", "?wait"),
        ("/v1/tasks/t1?wait=soon", "?wait"),
        ("/v1/tasks/t1?wait=nan", "?wait"),
        ("/v1/tasks/t1?wait=inf", "?wait"),
        ("/v1/queues/Mail", "#/queue"),
        ("/v1/queues/default/tasks?state=gone", "?state"),
        ("/v1/queues/default/tasks?cursor=nonsense", "?cursor"),
        ("/v1/queues/default/dead?since=2&until=1", "?since"),
        ("/v1/queues/default/suspended?limit=201", "?limit"),
    ],
)
async def test_a_bad_name_in_a_path_or_query_is_named(api, path, pointer):
    await api.submit()
    answer = await api.get(path)
    assert (answer.status, answer.code, answer.pointers) == (422, "invalid_task", [pointer])


@pytest.mark.parametrize(
    ("query", "detail", "limit"),
    [
        ("tasks/t1?wait=nan", "Must be a number, at least 0.", 0),
        ("tasks/t1?wait=soon", "Must be a number, at least 0.", 0),
        ("tasks/t1?wait=-1", "Must be at least 0.", 0),
        (
            "queues/a/dead?since=abc",
            f"Must be an integer from 0 to {LATEST_MS}.",
            f"0 to {LATEST_MS}",
        ),
        ("queues/a/tasks?limit=1.5", "Must be an integer from 1 to 200.", "1 to 200"),
        ("queues/a/dead?since=9&until=3", "Must not be later than until, 3.", 3),
    ],
)
async def test_a_bad_parameter_is_told_its_limit(api, query, detail, limit):
    answer = await api.get(f"/v1/{query}")
    (error,) = answer.document["errors"]
    assert (answer.status, error["detail"], error["limit"]) == (422, detail, limit)


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("queues/default/dead/retry", {"all": True, "queue": "mail"}, "#/queue"),
        ("queues/default/dead/discard", {"all": True, "payload": {}}, "#/payload"),
        ("queues/default/dead/discard", {"filter": {"usr": "ada"}}, "#/filter/usr"),
        ("queues/default/dead/discard", {"filter": {"since": 2, "until": 1}}, "#/filter/since"),
        ("queues/default/suspended/resume", {"ids": ["t1"], "al": True}, "#/al"),
        ("queues/default/pause", {"for": 60}, "#/for"),
        ("queues/default/unpause", {"for": 60}, "#/for"),
        ("tasks/t1/cancel", {"reason": "late"}, "#/reason"),
        ("quarantine/q1/discard", {"reason": "late"}, "#/reason"),
        ("quarantine/q1/requeue", {"queue": "mail"}, "#/queue"),
    ],
)
async def test_an_action_with_a_member_nobody_knows_is_refused(api, path, body, pointer):
    await api.submit(taskId="t1")
    answer = await api.act(f"/v1/{path}", body)
    assert (answer.status, answer.code, answer.pointers) == (422, "invalid_task", [pointer])
    assert (await api.get("/v1/queues/default")).document["paused"] is False
    assert (await api.get("/v1/tasks/t1")).document["state"] == "queued"


@pytest.mark.parametrize(
    "path", ["queues/default/pause", "queues/default/unpause", "tasks/t1/cancel"]
)
async def test_an_action_takes_an_empty_body_and_no_broken_one(api, path):
    await api.submit(taskId="t1")
    refused = await api.post(b"{", path=f"/v1/{path}")
    assert (refused.status, refused.code) == (400, "malformed_json")
    assert (await api.get("/v1/tasks/t1")).document["state"] == "queued"
    for empty in (None, {}):
        assert (await api.act(f"/v1/{path}", empty)).status == 200
