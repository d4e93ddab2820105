"""Queues, mirrors and health: figures from the stores that know them."""

import json

from app.amqp.connection import close_connection, open_connection
from app.amqp.declare import declare, declare_queue
from app.api import schemas
from app.broker.gauges import read_gauges
from app.state import TaskState
from tests.support.eventually import eventually


async def test_a_queue_and_its_depth(mirrored_api, stores):
    api = mirrored_api
    await api.submit(queue="mail")
    await api.submit(queue="mail", taskId="dies")
    await api.submit(queue="mail", delayMs=60_000)
    await stores.run_one("mail", state=TaskState.DEAD)
    answer = await api.get("/v1/queues/mail")
    shown = answer.document
    assert answer.status == 200
    assert schemas.Queue.model_validate(shown)
    assert shown["depth"] == {
        "scheduled": 1,
        "queued": 1,
        "running": 0,
        "retrying": 0,
        "dead": 1,
        "suspended": 0,
    }
    assert (shown["queue"], shown["tenant"], shown["paused"]) == ("mail", "default", False)
    assert shown["oldestQueuedSeconds"] >= 0
    assert shown["unmirroredTasks"] == 3
    assert shown["copies"] is None


async def test_without_rabbitmq_no_open_task_has_a_copy(api):
    await api.submit(queue="mail")
    await api.submit(queue="mail", delayMs=60_000)
    shown = (await api.get("/v1/queues/mail")).document
    assert shown["unmirroredTasks"] == 2
    assert shown["unmirroredOldestSeconds"] >= 0


async def test_a_paused_queue_is_shown_as_paused(api, stores):
    await api.submit()
    await stores.redis.redis.hset(stores.keys().generation, "paused", 1)
    assert (await api.get("/v1/queues/default")).document["paused"] is True


async def test_all_queues_in_order(api):
    assert (await api.get("/v1/queues")).document == {"items": [], "cursor": None}
    for queue in ("b", "a"):
        await api.submit(queue=queue)
    shown = (await api.get("/v1/queues")).document
    assert schemas.Queues.model_validate(shown)
    assert [each["queue"] for each in shown["items"]] == ["a", "b"]


async def test_a_queue_nobody_has_seen_is_not_found(api):
    answer = await api.get("/v1/queues/other")
    assert (answer.status, answer.code) == (404, "queue_not_found")


async def test_the_mirror_of_a_queue(mirrored_api, stores):
    await mirrored_api.submit()
    await mirrored_api.submit()
    (before,) = (await mirrored_api.get("/v1/mirror")).document["items"]
    assert (before["journalLength"], before["unmirroredTasks"]) == (2, 2)
    assert before["oldestUnmirroredSeconds"] >= 0
    assert before["leader"] is None
    await stores.mirror()
    answer = (await mirrored_api.get("/v1/mirror")).document
    assert schemas.Mirrors.model_validate(answer)
    (after,) = answer["items"]
    assert (after["journalLength"], after["unmirroredTasks"], after["confirmed"]) == (0, 0, 2)
    gauges = await read_gauges(stores.redis, stores.keys(), await stores.token())
    assert after["watermark"] == gauges.mirror["watermark"]


async def test_copies_are_what_the_quorum_queue_holds(
    start, rabbitmq_url, rabbitmq_management_url, env_name
):
    api = await start(rabbitmq_url=rabbitmq_url, rabbitmq_management_url=rabbitmq_management_url)
    await api.submit(queue="mail", durability="fast")
    connection = await open_connection(rabbitmq_url, "test")
    await declare(connection, env_name)
    await declare_queue(connection, "mail")
    await close_connection(connection)

    async def counted():
        return (await api.get("/v1/queues/mail")).document["copies"] == 0

    await eventually(counted, within_s=60)
    healthy = await eventually(lambda: words(api, "ok"))
    assert healthy == {"redis": "ok", "rabbitmq": "ok", "ledger": "ok"}


async def words(api, status):
    answer = await api.get("/readyz")
    document = answer.document
    assert schemas.Health.model_validate(document)
    assert answer.status == 200
    return document["checks"] if document["status"] == status else None


async def test_rabbitmq_is_not_missed_where_it_is_not_configured(api):
    checks = await words(api, "ok")
    assert checks == {"redis": "ok", "rabbitmq": "not configured", "ledger": "ok"}


async def test_rabbitmq_away_degrades(mirrored_api):
    checks = await words(mirrored_api, "degraded")
    assert checks["rabbitmq"] == "not connected"


async def test_the_documentation_names_what_is_taken_and_answered(api):
    assert (await api.get("/docs")).status == 200
    document = (await api.get("/openapi.json")).document
    text = json.dumps(document)
    schemas_named = document["components"]["schemas"]
    for reference in set(text.split('"#/components/schemas/')[1:]):
        assert reference.split('"')[0] in schemas_named
    submit = document["paths"]["/v1/tasks"]["post"]
    assert "application/json" in submit["requestBody"]["content"]
    assert set(submit["responses"]) >= {"200", "202", "409", "413", "422", "429", "503"}
    assert "taskId" in schemas_named["SubmitTask"]["properties"]
    assert set(document["paths"]) >= {
        "/v1/tasks",
        "/v1/tasks/batch",
        "/v1/tasks/{taskId}",
        "/v1/queues",
        "/v1/queues/{queue}",
        "/v1/mirror",
        "/livez",
        "/readyz",
        "/metrics",
    }
