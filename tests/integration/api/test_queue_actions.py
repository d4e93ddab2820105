"""Pause, unpause and clear: what starts, what is cancelled, and what outlives Redis."""

import pytest

from app.names import TaskKey
from tests.integration.api.api import TASK
from tests.integration.api.test_cancel import locked
from tests.support.eventually import eventually

PATH = "/v1/queues/default"


def act(api, action, queue):
    confirmed = {"confirm": queue} if action == "clear" else None
    return api.act(f"/v1/queues/{queue}/{action}", confirmed)


def clear(api, confirm="default", path=PATH):
    return api.act(f"{path}/clear", {"confirm": confirm})


async def test_after_pause_nothing_starts_and_submits_are_taken(api, stores):
    await api.submit(taskId="t1")
    (entry,) = (await stores.delivery().fetch(await stores.token(), "w1", 1)).entries
    answer = await api.act(f"{PATH}/pause")
    assert (answer.status, answer.document["paused"]) == (200, True)
    assert (await stores.start(entry)).verdict == "paused"
    assert (await api.submit(taskId="t2")).status == 202
    assert await stores.start_one() == (None, "nothing")
    assert (await api.act(f"{PATH}/pause")).status == 200
    answer = await api.act(f"{PATH}/unpause")
    assert (answer.status, answer.document["paused"]) == (200, False)
    assert (await stores.start(entry)).verdict == "run"


async def test_a_pause_outlives_redis(api, stores):
    await api.submit()
    await api.act(f"{PATH}/pause")
    await stores.redis.redis.delete(*await stores.redis_keys())
    await api.submit()
    assert (await api.get(PATH)).document["paused"] is True
    assert await stores.start_one() == (None, "nothing")


async def test_a_pause_that_redis_was_not_told_is_not_answered(start, private_redis):
    api = await start(redis_url=private_redis.url, store_timeout_ms=1_000)
    await api.submit()
    private_redis.kill9()
    refused = await api.act(f"{PATH}/pause")
    assert (refused.status, refused.code) == (503, "unavailable")
    await private_redis.start()

    async def paused():
        return (await api.act(f"{PATH}/pause")).status == 200

    await eventually(paused)


async def test_clear_cancels_what_has_not_started_and_only_that(api, stores):
    await api.submit(taskId="running")
    await stores.start_one()
    for n in range(3):
        await api.submit(taskId=f"queued-{n}", priority=("high", "normal", "low")[n])
        await api.submit(taskId=f"scheduled-{n}", delayMs=3_600_000)
    await api.submit(taskId="elsewhere", queue="other")
    answer = await clear(api)
    assert (answer.status, answer.document) == (200, {"cancelled": 6})
    depth = (await api.get(PATH)).document["depth"]
    assert (depth["scheduled"], depth["queued"], depth["running"]) == (0, 0, 1)
    assert (await api.get("/v1/tasks/queued-1")).document["state"] == "cancelled"
    assert (await api.get("/v1/tasks/running")).document["state"] == "running"
    assert (await api.get("/v1/tasks/elsewhere")).document["state"] == "queued"
    assert (await stores.ledger.get(TaskKey("default", "default", "scheduled-2"))).finished
    assert (await clear(api)).document == {"cancelled": 0}
    actions = [(each.action, each.count) for each in await stores.ledger.actions(10)]
    assert actions == [("clear", 0), ("clear", 6)]


async def test_clear_goes_on_until_nothing_is_left(api):
    for _ in range(3):
        tasks = [TASK | {"delayMs": 3_600_000 * (n % 2)} for n in range(900)]
        await api.act("/v1/tasks/batch", tasks)
    assert (await clear(api)).document == {"cancelled": 2_700}
    depth = (await api.get(PATH)).document["depth"]
    assert (depth["scheduled"], depth["queued"]) == (0, 0)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (None, "#/confirm"),
        ({}, "#/confirm"),
        ({"confirm": "other"}, "#/confirm"),
        ({"confirm": "default", "x": 1}, "#/x"),
    ],
)
async def test_clear_wants_to_be_confirmed(api, body, pointer):
    await api.submit()
    refused = await api.act(f"{PATH}/clear", body)
    assert (refused.status, refused.pointers) == (422, [pointer])
    assert (await api.get(PATH)).document["depth"]["queued"] == 1


async def test_clear_is_refused_while_copies_are_brought_back(mirrored_api, stores):
    await mirrored_api.submit()
    assert (await clear(mirrored_api)).code == "unavailable"
    await stores.looked_at_everything()
    assert (await clear(mirrored_api)).document == {"cancelled": 1}


@pytest.mark.parametrize("action", ["pause", "unpause", "clear"])
async def test_without_the_ledger_nothing_is_done(start, sqlite_path, action):
    api = await start(store_timeout_ms=1_000)
    await api.submit()
    with locked(sqlite_path):
        refused = await act(api, action, "default")
        assert (refused.status, refused.code) == (503, "unavailable")


@pytest.mark.parametrize("action", ["pause", "unpause", "clear"])
async def test_a_queue_nobody_has_used_is_not_found(api, action):
    refused = await act(api, action, "none")
    assert (refused.status, refused.code) == (404, "queue_not_found")
