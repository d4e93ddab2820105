"""``POST /v1/tasks/{id}/cancel``: whatever a task waits for, and what is known of it afterwards."""

import sqlite3
from contextlib import contextmanager

import pytest

from app.broker.recovery import Restore
from app.clock import now_ms
from app.envelope import decode
from app.ledger.sqlite import SqliteLedger
from app.names import TaskKey
from app.state import TaskState
from tests.support.broker import FAR_MS
from tests.support.eventually import eventually


@contextmanager
def locked(path):
    """A ledger that gives no answer."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def cancel(api, task_id="t1", query=""):
    return api.act(f"/v1/tasks/{task_id}/cancel{query}")


async def kept(stores, task_id="t1"):
    return await stores.ledger.get(TaskKey("default", "default", task_id))


async def test_a_queued_task_is_cancelled_for_good(api, stores):
    await api.submit(taskId="t1")
    answer = await cancel(api)
    assert (answer.status, answer.document["state"]) == (200, "cancelled")
    assert answer.document["finishedAt"]
    assert (await kept(stores)).finished.state == "cancelled"
    assert await stores.start_one() == (None, "nothing")
    again = await cancel(api)
    assert (again.status, again.document) == (200, answer.document)


async def test_a_scheduled_task_is_cancelled(api, stores):
    await api.submit(taskId="t1", delayMs=3_600_000)
    assert (await cancel(api)).document["state"] == "cancelled"
    assert (await api.get("/v1/queues/default")).document["depth"]["scheduled"] == 0


async def test_a_running_task_is_recorded_as_cancelled_with_its_attempt(api, stores):
    await api.submit(taskId="t1")
    entry, verdict = await stores.start_one()
    assert verdict == "run"
    document = (await cancel(api)).document
    assert document["state"] == "cancelled"
    (attempt,) = document["attempts"]
    assert (attempt["attempt"], attempt["worker"], attempt["outcome"]) == (1, "w1", "cancelled")
    assert document["startedAt"] == attempt["startedAt"] <= attempt["finishedAt"]
    renewed = await stores.delivery().renew(await stores.token(), "w1", [entry])
    assert renewed == ["over"]


@pytest.mark.parametrize("state", ["succeeded", "expired", "discarded", "dead"])
async def test_a_task_that_has_ended_otherwise_is_not_cancelled(api, stores, state):
    await api.submit(taskId="t1")
    await stores.run_one(state=TaskState(state))
    refused = await cancel(api)
    assert (refused.status, refused.code) == (409, "state_conflict")
    assert (await api.get("/v1/tasks/t1")).document["state"] == state


async def test_an_end_that_the_ledger_has_and_redis_not_yet_wins(api, stores):
    await api.submit(taskId="t1")
    (entry,) = (await stores.delivery().fetch(await stores.token(), "w1", 1)).entries
    await stores.record(entry.envelope)
    refused = await cancel(api)
    assert (refused.status, refused.code) == (409, "state_conflict")
    assert (await kept(stores)).finished.state == "succeeded"


async def test_an_end_that_is_recorded_while_the_cancel_is_under_way_wins(api, stores, monkeypatch):
    await api.submit(taskId="t1")
    (entry,) = (await stores.delivery().fetch(await stores.token(), "w1", 1)).entries
    finish = SqliteLedger.finish

    async def beaten(ledger, writes):
        monkeypatch.undo()
        await stores.record(entry.envelope)
        return await finish(ledger, writes)

    monkeypatch.setattr(SqliteLedger, "finish", beaten)
    refused = await cancel(api)
    assert (refused.status, refused.code) == (409, "state_conflict")
    assert (await kept(stores)).finished.state == "succeeded"


async def test_cancelling_a_suspended_task_ends_the_run_it_never_had(api, stores):
    await api.submit(taskId="t1")
    await stores.park("t1", state=TaskState.SUSPENDED)
    document = (await cancel(api)).document
    assert (document["state"], document["run"]) == ("cancelled", 2)
    depth = (await api.get("/v1/queues/default")).document["depth"]
    assert (depth["suspended"], depth["queued"]) == (0, 0)
    assert (await cancel(api)).status == 200


async def test_a_cancelled_task_does_not_come_back_with_its_copy(api, stores):
    await api.submit(taskId="t1")
    (entry,) = (await stores.delivery().fetch(await stores.token(), "w1", 1)).entries
    await cancel(api)
    await stores.redis.redis.delete(*await stores.redis_keys())
    assert (await api.get("/v1/tasks/t1")).document["state"] == "cancelled"
    standing = (await stores.ledger.ask([TaskKey("default", "default", "t1")])).popitem()[1]
    assert standing.is_finished(decode(entry.envelope).run)


async def test_a_task_nobody_has_is_not_found(api):
    await api.submit(taskId="other")
    refused = await cancel(api)
    assert (refused.status, refused.code) == (404, "task_not_found")


async def test_a_task_that_may_be_in_a_copy_only_is_unavailable(mirrored_api, stores):
    await mirrored_api.submit(taskId="other")
    refused = await cancel(mirrored_api)
    assert (refused.status, refused.code) == (503, "unavailable")
    await stores.looked_at_everything()
    assert (await cancel(mirrored_api)).status == 404


async def test_two_queues_with_the_same_id_want_to_be_told_apart(api):
    await api.submit(taskId="t1", queue="a")
    await api.submit(taskId="t1", queue="b")
    assert (await cancel(api)).code == "ambiguous_task"
    assert (await cancel(api, query="?queue=b")).document["state"] == "cancelled"
    assert (await api.get("/v1/tasks/t1?queue=a")).document["state"] == "queued"


async def test_without_the_ledger_nothing_is_promised(start, sqlite_path, stores):
    api = await start(store_timeout_ms=1_000)
    await api.submit(taskId="t1")
    with locked(sqlite_path):
        refused = await cancel(api)
        assert (refused.status, refused.code) == (503, "unavailable")

    async def is_cancelled():
        return (await cancel(api)).status == 200

    await eventually(is_cancelled)


async def test_without_redis_nothing_is_promised(start, private_redis):
    api = await start(redis_url=private_redis.url, store_timeout_ms=1_000)
    await api.submit(taskId="t1")
    private_redis.kill9()
    refused = await cancel(api)
    assert (refused.status, refused.code) == (503, "unavailable")


async def test_a_cancel_is_recorded_as_an_action(api, stores):
    await api.submit(taskId="t1")
    before = now_ms()
    await cancel(api)
    (action,) = await stores.ledger.actions(10)
    assert (action.action, action.who, action.count) == ("cancel", "anonymous", 1)
    assert (action.tenant, action.queue, action.target) == ("default", "default", {"taskId": "t1"})
    assert action.at_ms >= before


async def test_a_mark_is_met_by_a_retry_that_is_restored(api, stores):
    """A cancelled retry does not come back although its due time is far away."""
    await api.submit(taskId="t1", delayMs=3_600_000)
    (seen,) = await stores.intake().look(await stores.token(), ["t1"])
    await cancel(api)
    restore = Restore(decode(seen.envelope), 0, FAR_MS)
    answers = await stores.recovery().restore(await stores.token(), [restore])
    assert answers == ["settled"]
