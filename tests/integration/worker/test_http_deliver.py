"""``http.deliver`` against a real receiver."""

from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from app.envelope import encode, request_digest
from app.handlers.http_deliver import builtin_tasks
from app.names import QueueName
from tests.support.envelopes import ACCEPTED_AT_MS, QUEUE, TENANT
from tests.support.eventually import eventually

SOON = {"delaysMs": [10, 10], "jitter": 0}


class Receiver:
    """Answers as told, in order; the last answer stays."""

    def __init__(self):
        self.seen = []
        self.answers = [web.Response]

    async def answer(self, request):
        self.seen.append((request.method, request.path, request.headers, await request.read()))
        make = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return make()

    def headers(self, n=0):
        return self.seen[n][2]


@pytest.fixture
async def receiver():
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{receiver.port}/hook"
    yield receiver
    await runner.cleanup()


@asynccontextmanager
async def delivering(house, *allow):
    async with builtin_tasks(allow) as registry:
        worker = house.worker(registry=registry)
        yield worker
        await house.stop(worker)


async def submit(house, payload, **options):
    given = {"type": "http.deliver", "payload": payload, **options}
    made = encode(
        key=QueueName(TENANT, QUEUE).task("a"),
        type="http.deliver",
        payload=payload,
        context={},
        options=options,
        run=1,
        digest=request_digest(given),
        accepted_at_ms=ACCEPTED_AT_MS,
    )
    await house.submit(made)


def answering(status, body="", **headers):
    return lambda: web.Response(status=status, text=body, headers=headers)


async def test_a_call_is_made_and_its_answer_is_the_result(house, receiver):
    receiver.answers = [answering(201, "grüß dich", **{"X-Kind": "greeting"})]
    await submit(
        house,
        {"url": receiver.url, "json": {"text": "ü"}, "headers": {"Authorization": "Bearer s"}},
    )
    async with delivering(house, "127.0.0.1"):
        record = await house.ends(state="succeeded")
    result = orjson.loads(record.finished.result)
    assert (result["status"], result["body"], result["truncated"]) == (201, "grüß dich", False)
    assert result["headers"]["X-Kind"] == "greeting"
    assert set(result) == {"status", "headers", "body", "truncated"}
    ((method, path, headers, body),) = receiver.seen
    assert (method, path, orjson.loads(body)) == ("POST", "/hook", {"text": "ü"})
    assert headers["Idempotency-Key"] == "acme/mail/a"
    assert (headers["X-Lifeboat-Run"], headers["X-Lifeboat-Attempt"]) == ("1", "1")
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer s"


async def test_the_idempotency_key_cannot_be_overwritten_by_a_payload(house, receiver):
    await submit(house, {"url": receiver.url, "headers": {"idempotency-key": "mine"}})
    async with delivering(house, "127.0.0.1"):
        await house.ends(state="succeeded")
    assert receiver.headers().getall("Idempotency-Key") == ["acme/mail/a"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_answers_that_may_change_are_retried(house, receiver, status):
    receiver.answers = [answering(status), answering(200)]
    await submit(house, {"url": receiver.url, "method": "PUT", "body": "x"}, retry=SOON)
    async with delivering(house, "127.0.0.1"):
        record = await house.ends(state="succeeded")
    assert [headers["X-Lifeboat-Attempt"] for _, _, headers, _ in receiver.seen] == ["1", "2"]
    assert record.attempts[0].error.type == "http_status"
    assert str(status) in record.attempts[0].error.message


async def test_retry_after_is_honoured(house, receiver):
    receiver.answers = [answering(503, **{"Retry-After": "1800"})]
    await submit(house, {"url": receiver.url}, retry=SOON)
    async with delivering(house, "127.0.0.1"):
        await eventually(lambda: house.is_state("a", "retrying"))
    fields = await house.fields()
    waits_ms = int(fields["due"]) - int(fields["started"])
    assert 1_800_000 <= waits_ms < 1_900_000


async def test_other_answers_are_final(house, receiver):
    receiver.answers = [answering(400, "no such field")]
    await submit(house, {"url": receiver.url}, retry=SOON)
    async with delivering(house, "127.0.0.1"):
        record = await house.ends(state="dead")
    assert len(receiver.seen) == 1
    assert "answered 400, expected 200 to 299: no such field" in record.finished.error.message
    assert record.finished.error.retryable is False


async def test_redirects_are_not_followed(house, receiver):
    receiver.answers = [answering(302, Location=f"http://127.0.0.1:{receiver.port}/elsewhere")]
    await submit(house, {"url": receiver.url}, retry=SOON)
    async with delivering(house, "127.0.0.1"):
        await house.ends(state="dead")
    assert [path for _, path, _, _ in receiver.seen] == ["/hook"]


async def test_an_expected_range_decides_what_succeeds(house, receiver):
    receiver.answers = [answering(503)]
    await submit(house, {"url": receiver.url, "expect": [300, 599]})
    async with delivering(house, "127.0.0.1"):
        record = await house.ends(state="succeeded")
    assert orjson.loads(record.finished.result)["status"] == 503


async def test_a_target_that_does_not_answer_is_retried(house, receiver):
    await submit(house, {"url": "http://127.0.0.1:1/hook"}, retry={"delaysMs": [10], "jitter": 0})
    async with delivering(house, "127.0.0.1"):
        record = await house.ends(state="dead")
    assert [each.error.type for each in record.attempts] == ["transport", "transport"]
    assert record.finished.error.retryable is True


async def test_a_long_answer_is_cut(house, receiver):
    receiver.answers = [answering(200, "x" * 200_000)]
    await submit(house, {"url": receiver.url})
    async with delivering(house, "127.0.0.1"):
        record = await house.ends(state="succeeded")
    result = orjson.loads(record.finished.result)
    assert (len(result["body"]), result["truncated"]) == (65_536, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_address_that_is_not_public_is_refused_and_not_retried(house, receiver, host):
    await submit(house, {"url": f"http://{host}:{receiver.port}/hook"}, retry=SOON)
    async with delivering(house):
        record = await house.ends(state="dead")
    assert receiver.seen == []
    assert len(record.attempts) == 1
    assert record.finished.error.type == "address_refused"
    assert "LIFEBOAT_DELIVER_ALLOW" in record.finished.error.message


@pytest.mark.parametrize("allow", ["localhost", "127.0.0.0/8"])
async def test_an_allowed_host_or_network_is_called_by_name(house, receiver, allow):
    await submit(house, {"url": f"http://localhost:{receiver.port}/hook"})
    async with delivering(house, allow):
        await house.ends(state="succeeded")
    assert len(receiver.seen) == 1


async def test_a_numeric_spelling_of_a_refused_address_is_refused(house, receiver):
    await submit(house, {"url": f"http://2130706433:{receiver.port}/hook"}, retry=SOON)
    async with delivering(house):
        await house.ends(state="dead")
    assert receiver.seen == []


async def test_cookies_do_not_travel_between_calls(house, receiver):
    receiver.answers = [answering(503, **{"Set-Cookie": "session=1"}), answering(200)]
    await submit(house, {"url": receiver.url}, retry=SOON)
    async with delivering(house, "127.0.0.1"):
        await house.ends(state="succeeded")
    assert "Cookie" not in receiver.headers(1)
