"""Looking at a task: from Redis while it is open, from the ledger once it is finished."""

import asyncio

from app.api import schemas
from app.state import TaskState
from tests.integration.api.api import TASK
from tests.support.eventually import eventually


async def get(api, task_id, query=""):
    return await api.get(f"/v1/tasks/{task_id}{query}")


async def test_an_open_task(api):
    accepted = (await api.submit(taskId="t1", retry={"maxAttempts": 3})).document
    answer = await get(api, "t1")
    assert answer.status == 200
    assert schemas.Task.model_validate(answer.document)
    assert answer.document == {
        "taskId": "t1",
        "type": "report",
        "queue": "default",
        "tenant": "default",
        "state": "queued",
        "run": 1,
        "attempt": 0,
        "maxAttempts": 3,
        "durability": "fast",
        "acceptedAt": accepted["acceptedAt"],
        "startedAt": None,
        "finishedAt": None,
        "nextAttemptAt": None,
        "progress": None,
        "result": None,
        "error": None,
        "attempts": [],
        "context": {"channel": "http"},
        "payload": TASK["payload"],
    }


async def test_a_finished_task_is_shown_from_the_ledger(api, stores):
    await api.submit(taskId="t1")
    await stores.run_one(result=b'{"answer":42}')
    shown = (await get(api, "t1")).document
    assert (shown["state"], shown["result"]) == ("succeeded", {"answer": 42})
    assert (shown["attempt"], shown["durability"]) == (1, "mirrored")
    assert shown["startedAt"] < shown["finishedAt"]
    assert [each["outcome"] for each in shown["attempts"]] == ["succeeded"]
    await stores.redis.redis.delete(*await stores.redis_keys())
    assert (await get(api, "t1", "?queue=default")).document == shown


async def test_the_ledger_decides_before_redis_has_settled(api, stores):
    await api.submit(taskId="t1", retry={"maxAttempts": 1})
    token = await stores.token()
    ((_, fields),) = await stores.redis.redis.xrange(stores.keys().lanes[1])
    await stores.redis.redis.hset(stores.keys().task("t1"), "attempt", 1)
    await stores.record(fields[b"envelope"], state=TaskState.DEAD)
    assert (await get(api, "t1")).document["state"] == "dead"
    assert token == await stores.token()


async def test_the_latest_run_is_shown(api, stores):
    """A later open run stands beside the record of an older one."""
    await api.submit(taskId="t1")
    ((_, fields),) = await stores.redis.redis.xrange(stores.keys().lanes[1])
    await stores.record(fields[b"envelope"], state=TaskState.DEAD)
    await stores.redis.redis.hset(stores.keys().task("t1"), "run", 2)
    shown = (await get(api, "t1")).document
    assert (shown["state"], shown["run"]) == ("queued", 2)
    assert [each["run"] for each in shown["attempts"]] == [1]


async def test_wait_returns_when_the_task_has_finished(api, stores):
    await api.submit(taskId="t1")
    waiting = asyncio.create_task(get(api, "t1", "?wait=1000"))
    await eventually(lambda: stores.redis.redis.xlen(stores.keys().lanes[1]))
    await stores.run_one()
    assert (await waiting).document["state"] == "succeeded"


async def test_wait_over_shows_the_task_as_it_then_is(api):
    await api.submit(taskId="t1")
    assert (await get(api, "t1", "?wait=0.1")).document["state"] == "queued"


async def test_an_id_in_two_queues_is_ambiguous(api):
    await api.submit(taskId="t1", queue="one")
    await api.submit(taskId="t1", queue="two")
    answer = await get(api, "t1")
    assert (answer.status, answer.code) == (409, "ambiguous_task")
    assert answer.document["queues"] == ["one", "two"]
    assert (await get(api, "t1", "?queue=two")).document["queue"] == "two"


async def test_unknown_tasks_and_queues_are_not_found(api):
    nowhere = await get(api, "t1")
    assert (nowhere.status, nowhere.code) == (404, "task_not_found")
    await api.submit()
    assert (await get(api, "t1")).code == "task_not_found"
    assert (await get(api, "t1", "?queue=default")).code == "task_not_found"
    assert (await get(api, "t1", "?queue=other")).code == "task_not_found"


async def test_not_found_is_not_said_before_every_copy_was_looked_at(mirrored_api, stores):
    await mirrored_api.submit()
    doubtful = await get(mirrored_api, "t1")
    assert (doubtful.status, doubtful.code) == (503, "unavailable")
    assert doubtful.headers["Retry-After"]
    await stores.looked_at_everything()
    assert (await get(mirrored_api, "t1")).code == "task_not_found"


async def test_a_lost_redis_makes_every_absence_doubtful_again(mirrored_api, stores):
    await mirrored_api.submit(taskId="t1")
    await stores.looked_at_everything()
    await stores.redis.redis.delete(*await stores.redis_keys())
    assert (await get(mirrored_api, "t1")).status == 503
    assert (await get(mirrored_api, "other")).status == 503


async def test_secrets_of_a_delivery_are_masked(api):
    payload = {"url": "https://example.org/", "headers": {"authorization": "x", "X-Other": "y"}}
    await api.submit({"type": "http.deliver", "payload": payload}, taskId="t1")
    shown = (await get(api, "t1")).document["payload"]
    assert shown["headers"] == {"authorization": "***", "X-Other": "y"}
