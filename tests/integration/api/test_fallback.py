"""Submits while Redis is away: confirmed by RabbitMQ, brought into Redis by the rehydrator."""

import asyncio
import time

import aio_pika
import orjson
import pytest

from app.amqp.link import Link
from app.amqp.message import Copy, read_copy
from app.amqp.topology import TASKS
from app.errors import EnvMismatch, Unavailable
from app.lifecycle import cancel
from app.state import TaskState
from app.task_queue.fallback import Fallback, check_rabbitmq
from rehydrator.process import run_rehydrator
from tests.integration.api.api import TASK
from tests.integration.api.conftest import NOWHERE
from tests.integration.api.test_batch import batch
from tests.integration.api.test_cancel import locked
from tests.support.eventually import eventually
from tests.support.limits import limited
from tests.support.proxy import Proxy

PROMISED_S = 1.0
SLACK = 10
WITHIN_MS = 10_000


@pytest.fixture
async def fallen(start, private_redis, rabbitmq_url):
    """An API that reached everything, and then lost Redis."""
    api = await reached(start, private_redis, rabbitmq_url)
    private_redis.kill9()
    return api


async def reached(start, redis, rabbitmq_url, **overrides):
    settings = {
        "redis_url": redis.url,
        "rabbitmq_url": rabbitmq_url,
        "store_timeout_ms": 1_000,
        "confirm_timeout_ms": WITHIN_MS,
    }
    api = await start(**(settings | overrides))

    async def all_are_there():
        return (await api.get("/readyz")).document["status"] == "ok"

    await eventually(all_are_there)
    assert (await api.submit(taskId="first", durability="fast")).status == 202
    return api


async def copies(rabbitmq_url, queue="default"):
    """What lies in a mirror queue, taken out of it."""
    connection = await aio_pika.connect(rabbitmq_url)
    found = []
    async with connection:
        channel = await connection.channel()
        mirror = await channel.get_queue(f"lifeboat.mirror.{queue}")
        while message := await mirror.get(no_ack=True, fail=False):
            found.append(read_copy(message.headers, message.body, message.type))
    return found


async def test_a_submit_is_confirmed_by_rabbitmq(fallen, rabbitmq_url, stores):
    answer = await fallen.submit()
    assert answer.status == 202
    receipt = answer.document
    assert (receipt["acceptedBy"], receipt["degraded"]) == ("rabbitmq", True)
    assert receipt["durability"] == {"requested": "mirrored", "reached": "mirrored"}
    assert (receipt["disposition"], receipt["state"]) == ("created", "queued")
    (copy,) = await copies(rabbitmq_url)
    assert isinstance(copy, Copy)
    assert copy.envelope.task_id == receipt["taskId"]
    assert copy.envelope.accepted_at_ms == receipt["acceptedAt"]
    origin = copy.origin
    assert (origin.ledger, origin.generation, origin.journal_id) == (stores.ledger.identity, "", "")
    exposed = (await fallen.get("/metrics")).body.decode()
    labels = 'accepted_by="rabbitmq",level="mirrored",queue="default",tenant="default"'
    assert f"lifeboat_tasks_accepted_total{{{labels}}} 1.0" in exposed


async def test_a_copy_without_a_confirm_is_not_accepted(start, private_redis, rabbitmq_url):
    async with Proxy(rabbitmq_url) as proxy:
        api = await reached(start, private_redis, proxy.url, confirm_timeout_ms=4_000)
        private_redis.kill9()
        # The queue exists from its first use on.
        assert (await api.submit()).status == 202
        proxy.hold_answers()
        silent = await api.submit(taskId="t1")
        assert (silent.status, silent.code) == (503, "unavailable")
        proxy.flow()
        assert (await api.submit(taskId="t1")).status == 202
    # Unknown was not failed: both publishes arrived, as copies of one task.
    taken = [copy.envelope.task_id for copy in await copies(rabbitmq_url)]
    assert taken[1:] == ["t1", "t1"]


async def test_what_a_full_queue_refused_is_accepted_once_a_policy_gives_it_room(
    fallen, rabbitmq_url, rabbitmq_management_url
):
    async def answered(status):
        return (await fallen.submit()).status == status

    async with limited(rabbitmq_url, rabbitmq_management_url):
        await eventually(lambda: answered(503))
    await eventually(lambda: answered(202), within_s=30, every_s=0.1)


async def test_an_id_that_could_not_be_checked_is_said_to_be_unchecked(fallen):
    for body in (TASK | {"taskId": "t1"}, TASK | {"context": {"idempotencyKey": "k"}}):
        answer = await fallen.submit(body, onDegraded="refuse")
        assert (answer.status, answer.document["disposition"]) == (202, "unchecked")


async def test_what_the_ledger_knows_is_not_accepted_anew(
    start, private_redis, rabbitmq_url, settings_of, stores_of
):
    api = await reached(start, private_redis, rabbitmq_url)
    async with stores_of(settings_of(redis_url=private_redis.url)) as stores:
        assert await stores.run_one(state=TaskState.SUCCEEDED) == "first"
        private_redis.kill9()
        again = await api.submit(taskId="first")
    assert (again.status, again.document["disposition"]) == (200, "duplicate")
    assert again.document["state"] == "succeeded"
    other = await api.submit(taskId="first", payload={"other": 1})
    assert (other.status, other.code) == (409, "idempotency_conflict")


async def test_many_submits_to_a_queue_nobody_has_used_declare_it(fallen, rabbitmq_url):
    answers = await asyncio.gather(*(fallen.submit(queue="fresh") for _ in range(50)))
    assert {answer.status for answer in answers} == {202}
    ids = {answer.document["taskId"] for answer in answers}
    assert {copy.envelope.task_id for copy in await copies(rabbitmq_url, "fresh")} == ids


async def test_a_batch_falls_back_as_well(fallen, rabbitmq_url):
    answer = await batch(fallen, [TASK, {}, TASK | {"taskId": "t1"}])
    assert answer.status == 202
    first, bad, given = answer.document["items"]
    assert (first["acceptedBy"], first["disposition"]) == ("rabbitmq", "created")
    assert (bad["code"], given["disposition"]) == ("invalid_task", "unchecked")
    assert len(await copies(rabbitmq_url)) == 2


async def test_a_redis_that_refuses_writes_is_away_too(
    start, private_redis, rabbitmq_url, settings_of, stores_of
):
    api = await reached(start, private_redis, rabbitmq_url)
    async with stores_of(settings_of(redis_url=private_redis.url)) as stores:
        await stores.looked_at_everything()
        await stores.redis.redis.config_set("maxmemory", "1")
        answer = await api.submit()
        assert (answer.status, answer.document["acceptedBy"]) == (202, "rabbitmq")
        task_id = answer.document["taskId"]
        assert (await api.get(f"/v1/tasks/{task_id}")).code == "unavailable"
        assert (await api.get("/v1/tasks/never-submitted")).code == "task_not_found"


async def test_the_api_is_ready_while_a_submit_would_be_accepted(fallen):
    answer = await fallen.get("/readyz")
    assert (answer.status, answer.document["status"]) == (200, "degraded")
    assert answer.document["checks"]["rabbitmq"] == "ok"


async def test_rabbitmq_is_well_only_once_the_vhost_is_known_to_be_ours(settings_of, rabbitmq_url):
    settings = settings_of(rabbitmq_url=rabbitmq_url)
    link = Link(rabbitmq_url, "test", returns_raise=True)
    fallback = Fallback(link, None, settings)
    link.start()
    await eventually(lambda: link.connected)
    with pytest.raises(Unavailable, match="not declared yet"):
        await check_rabbitmq(link, fallback)
    await fallback.prepare()
    await check_rabbitmq(link, fallback)
    await link.close()


async def test_with_both_away_it_is_said_at_once_with_the_id(start, private_redis):
    api = await start(redis_url=private_redis.url, rabbitmq_url=NOWHERE, store_timeout_ms=25_000)
    await api.submit()
    private_redis.kill9()
    began = time.monotonic()
    refused = await api.submit(taskId="t1")
    assert time.monotonic() - began < PROMISED_S * SLACK
    assert (refused.status, refused.code) == (503, "unavailable")
    assert refused.headers["Retry-After"]
    assert refused.document["taskId"] == "t1"
    answer = await batch(api, [TASK | {"taskId": "a"}, TASK | {"taskId": "b"}])
    assert (answer.status, answer.code) == (503, "unavailable")
    assert [each["taskId"] for each in answer.document["items"]] == ["a", "b"]
    assert answer.headers["Retry-After"]
    assert (await api.get("/readyz")).status == 503


async def test_who_rather_has_a_refusal_gets_one(start, private_redis, rabbitmq_url):
    api = await reached(start, private_redis, rabbitmq_url, on_redis_away="reject")
    private_redis.kill9()
    refused = await api.submit()
    assert (refused.status, refused.code) == (503, "unavailable")
    assert refused.document["taskId"]
    assert (await api.get("/readyz")).status == 503


async def test_without_the_ledger_a_queue_that_has_a_mirror_queue_is_known(
    start, private_redis, rabbitmq_url, sqlite_path
):
    api = await reached(start, private_redis, rabbitmq_url)
    private_redis.kill9()
    assert (await api.submit(queue="used")).status == 202
    with locked(sqlite_path):
        later = await start(
            wait_for_ledger=False,
            redis_url=private_redis.url,
            rabbitmq_url=rabbitmq_url,
            store_timeout_ms=1_000,
            confirm_timeout_ms=WITHIN_MS,
        )

        async def connected():
            return (await later.get("/readyz")).document["checks"]["rabbitmq"] == "ok"

        await eventually(connected)
        assert (await later.submit(queue="used")).status == 202
        refused = await later.submit(queue="never-used")
        assert (refused.status, refused.code) == (503, "unavailable")
    kept = await copies(rabbitmq_url, "used")
    assert [copy.origin.ledger == "" for copy in kept] == [False, True]


async def test_the_rehydrator_brings_the_tasks_into_redis(
    start, private_redis, rabbitmq_url, rabbitmq_management_url, settings_of
):
    overrides = {"rabbitmq_management_url": rabbitmq_management_url}
    api = await reached(start, private_redis, rabbitmq_url, **overrides)
    private_redis.kill9()
    sent = [await api.submit(taskId=f"t{n}") for n in range(20)]
    assert {answer.document["acceptedBy"] for answer in sent} == {"rabbitmq"}
    settings = settings_of(
        redis_url=private_redis.url, rabbitmq_url=rabbitmq_url, rehydrator_port=0, **overrides
    )
    running = asyncio.create_task(run_rehydrator(settings))
    await private_redis.start()
    try:

        async def are_there():
            answers = [await api.get(f"/v1/tasks/t{n}") for n in range(20)]
            assert {answer.status for answer in answers} <= {200, 503}
            return all(answer.status == 200 for answer in answers)

        await eventually(are_there, within_s=60)
    finally:
        await cancel(running)
    task = (await api.get("/v1/tasks/t7")).document
    assert (task["state"], task["durability"]) == ("queued", "mirrored")
    again = await api.submit(taskId="t7")
    assert (again.status, again.document["disposition"]) == (200, "duplicate")


@pytest.mark.parametrize("query", ["?wait=25", "?wait=25&queue=default"])
async def test_who_waits_for_a_task_waits_for_its_way_into_redis_too(
    start, private_redis, rabbitmq_url, rabbitmq_management_url, settings_of, query
):
    overrides = {"rabbitmq_management_url": rabbitmq_management_url}
    api = await reached(start, private_redis, rabbitmq_url, **overrides)
    private_redis.kill9()
    assert (await api.submit(taskId="t1")).document["acceptedBy"] == "rabbitmq"
    # Known to be away: no reason to wait.
    assert (await api.get(f"/v1/tasks/t1{query}")).status == 503
    await private_redis.start()

    async def redis_is_back():
        return (await api.get("/readyz")).document["status"] == "ok"

    await eventually(redis_is_back)
    assert (await api.get("/v1/tasks/t1?wait=1")).status == 503
    waiting = asyncio.create_task(api.get(f"/v1/tasks/t1{query}"))
    settings = settings_of(
        redis_url=private_redis.url, rabbitmq_url=rabbitmq_url, rehydrator_port=0, **overrides
    )
    running = asyncio.create_task(run_rehydrator(settings))
    try:

        async def is_cancelled():
            return (await api.post(b"", path="/v1/tasks/t1/cancel")).status == 200

        await eventually(is_cancelled, within_s=25)
        answer = await waiting
    finally:
        await cancel(running, waiting)
    assert (answer.status, answer.document["state"]) == (200, "cancelled")


async def test_a_vhost_of_another_env_stops_the_api(start, redis_url, rabbitmq_url):
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange(TASKS, "topic", durable=True)
    api = await start(rabbitmq_url=rabbitmq_url, wait_for_ledger=False)
    await asyncio.wait({api.serving}, timeout=60)
    assert api.serving.done()
    with pytest.raises(EnvMismatch):
        api.serving.result()


async def test_an_envelope_goes_as_it_is(fallen, rabbitmq_url):
    await fallen.submit(taskId="t1")
    (copy,) = await copies(rabbitmq_url)
    raw = orjson.dumps(orjson.loads(copy.envelope.raw) | {"futureMember": 1})
    answer = await fallen.post(raw, content_type="application/vnd.lifeboat.envelope+json")
    assert answer.status == 202
    (kept,) = await copies(rabbitmq_url)
    assert kept.envelope.raw == raw
