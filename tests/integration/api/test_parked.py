"""Dead and suspended tasks: lists with filters, their next runs, and their end."""

import asyncio

import pytest

from app.clock import now_ms
from app.envelope import decode
from app.ledger.records import ErrorInfo
from app.names import TaskKey
from app.state import TaskState
from tests.integration.api.api import TASK
from tests.integration.api.conftest import NOWHERE
from tests.integration.api.test_cancel import locked
from tests.support.eventually import eventually

QUEUE = "/v1/queues/default"
TIMEOUT = ErrorInfo("timeout", "Too slow.", retryable=True)
DELIVER = {"type": "http.deliver", "payload": {"url": "https://example.org/"}}


def ids_of(answer):
    assert answer.status == 200
    return [each["taskId"] for each in answer.document["items"]]


async def park(api, stores, task_id="t1", *, state=TaskState.DEAD, error=None, **members):
    answer = await api.submit(taskId=task_id, **members)
    assert answer.status == 202
    await stores.park(task_id, state=state, **({"error": error} if error else {}))


async def parked_depth(api):
    depth = (await api.get(QUEUE)).document["depth"]
    return depth["dead"], depth["suspended"], depth["queued"]


@pytest.mark.parametrize(
    ("state", "verb"), [(TaskState.DEAD, "retry"), (TaskState.SUSPENDED, "resume")]
)
async def test_the_next_run_of_a_parked_task_is_the_same_task_again(api, stores, state, verb):
    await park(api, stores, state=state, timeoutMs=7_000, context={"user": "ada"})
    before = now_ms()
    answer = await api.act(f"/v1/tasks/t1/{verb}")
    assert answer.status == 200
    task = answer.document
    assert (task["state"], task["run"], task["attempt"]) == ("queued", 2, 0)
    assert task["context"]["user"] == "ada"
    assert task["acceptedAt"] >= before
    assert [each["run"] for each in task["attempts"]] == [1]
    entry, verdict = await stores.start_one()
    assert (entry.run, verdict) == (2, "run")
    envelope = decode(entry.envelope)
    assert (envelope.timeout_ms, envelope.payload) == (7_000, TASK["payload"])


async def test_asked_again_it_is_so_already(api, stores):
    await park(api, stores)
    first = await api.act("/v1/tasks/t1/retry")
    again = await api.act("/v1/tasks/t1/retry")
    assert (again.status, again.document) == (200, first.document)
    assert await stores.run_one() == "t1"
    refused = await api.act("/v1/tasks/t1/retry")
    assert (refused.status, refused.code) == (409, "state_conflict")


@pytest.mark.parametrize(
    ("state", "verb"),
    [
        (None, "retry"),
        (TaskState.SUSPENDED, "retry"),
        (TaskState.DEAD, "resume"),
        (TaskState.SUCCEEDED, "retry"),
        (TaskState.DISCARDED, "resume"),
    ],
)
async def test_what_is_not_parked_there_is_not_redriven(api, stores, state, verb):
    await api.submit(taskId="t1")
    if state:
        await stores.run_one(state=state)
    refused = await api.act(f"/v1/tasks/t1/{verb}")
    assert (refused.status, refused.code) == (409, "state_conflict")


async def test_the_payload_may_be_replaced(api, stores):
    await park(api, stores, delayMs=1)
    task = (await api.act("/v1/tasks/t1/retry", {"payload": {"n": 2}})).document
    assert task["payload"] == {"n": 2}
    entry, _ = await stores.start_one()
    envelope, old = (
        decode(entry.envelope),
        await stores.ledger.get(TaskKey("default", "default", "t1")),
    )
    assert envelope.payload == {"n": 2}
    assert envelope.request_digest == old.request_digest
    assert envelope.not_before_ms == 0


@pytest.mark.parametrize(
    ("body", "status", "code", "pointers"),
    [
        (b'{"payload":{"url":"ftp://a"}}', 422, "invalid_task", ["#/payload/url"]),
        (b'{"payload":[1]}', 422, "invalid_task", ["#/payload"]),
        (b'{"taskId":"t2"}', 422, "invalid_task", ["#/taskId"]),
        (b"{", 400, "malformed_json", []),
        (b'{"payload":{"url":"https://a/","body":"%s"}}' % (b"x" * 1_048_576), 413, None, []),
    ],
)
async def test_a_bad_replacement_is_refused_and_the_task_stays(
    api, stores, body, status, code, pointers
):
    await api.submit(DELIVER, taskId="t1")
    await stores.park("t1")
    refused = await api.post(body, path="/v1/tasks/t1/retry")
    assert refused.status == status
    assert code in (None, refused.code)
    assert refused.pointers == pointers
    assert (await api.get("/v1/tasks/t1")).document["state"] == "dead"


async def test_the_old_record_stands_until_the_new_copy_is_confirmed(start, stores):
    mirrored_api = await start(rabbitmq_url=NOWHERE, confirm_timeout_ms=2_000)
    await park(mirrored_api, stores, durability="fast")
    await stores.mirror()
    await stores.looked_at_everything()
    answer = await mirrored_api.act("/v1/tasks/t1/retry")
    assert (answer.document["state"], answer.document["durability"]) == ("queued", "fast")
    record = await stores.ledger.get(TaskKey("default", "default", "t1"))
    assert not record.redriven
    assert ids_of(await mirrored_api.get(f"{QUEUE}/dead")) == []
    waiting = asyncio.create_task(mirrored_api.act("/v1/tasks/t1/retry"))
    await eventually(stores.mirror)
    assert (await waiting).document["durability"] == "mirrored"
    record = await stores.ledger.get(TaskKey("default", "default", "t1"))
    assert record.redriven
    assert await parked_depth(mirrored_api) == (0, 0, 1)


async def test_a_redriven_task_that_redis_lost_is_said_to_come_back(start, stores):
    mirrored_api = await start(rabbitmq_url=NOWHERE, confirm_timeout_ms=20_000)
    await park(mirrored_api, stores, durability="fast")
    await stores.mirror()
    waiting = asyncio.create_task(mirrored_api.act("/v1/tasks/t1/retry"))
    await eventually(stores.mirror)
    assert (await waiting).status == 200
    await stores.redis.redis.delete(*await stores.redis_keys())
    assert (await mirrored_api.get("/v1/tasks/t1")).code == "unavailable"
    assert ids_of(await mirrored_api.get(f"{QUEUE}/dead")) == []


async def test_parked_tasks_outlive_redis_and_are_redriven_from_the_ledger(api, stores):
    await park(api, stores, "dead")
    await park(api, stores, "suspended", state=TaskState.SUSPENDED)
    await stores.redis.redis.delete(*await stores.redis_keys())
    assert ids_of(await api.get(f"{QUEUE}/dead")) == ["dead"]
    assert ids_of(await api.get(f"{QUEUE}/suspended")) == ["suspended"]
    assert (await api.act("/v1/tasks/dead/retry")).document["state"] == "queued"
    assert await stores.run_one() == "dead"


async def test_the_list_shows_whole_tasks_and_goes_page_by_page(api, stores):
    for n in range(5):
        await park(api, stores, f"t{n}", context={"user": f"u{n}", "chatId": "7"})
    first = await api.get(f"{QUEUE}/dead?limit=2")
    assert first.document["items"][0] == (await api.get("/v1/tasks/t4")).document
    found, cursor = ids_of(first), first.document["cursor"]
    while cursor:
        page = await api.get(f"{QUEUE}/dead?limit=2&cursor={cursor}")
        found += ids_of(page)
        cursor = page.document["cursor"]
    assert found == ["t4", "t3", "t2", "t1", "t0"]


async def test_the_list_is_filtered(api, stores):
    await park(api, stores, "a", error=TIMEOUT, context={"user": "ada", "chatId": "7"})
    between = now_ms()
    await eventually(lambda: now_ms() > between + 1)
    await park(api, stores, "b", type="other", context={"channel": "telegram", "chatId": 42})
    for query, expected in (
        ("type=report", ["a"]),
        ("type=other", ["b"]),
        ("error=timeout", ["a"]),
        ("error=ValueError", ["b"]),
        ("channel=telegram", ["b"]),
        ("user=ada", ["a"]),
        ("chatId=7", ["a"]),
        ("chatId=42", ["b"]),
        (f"since={between + 1}", ["b"]),
        (f"until={between + 1}", ["a"]),
        ("type=other&user=ada", []),
    ):
        assert ids_of(await api.get(f"{QUEUE}/dead?{query}")) == expected, query


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "since=x", "cursor=x", "type=a/b"])
async def test_a_bad_query_is_refused(api, query):
    await api.submit()
    refused = await api.get(f"{QUEUE}/dead?{query}")
    assert (refused.status, refused.code) == (422, "invalid_task")


async def test_some_are_retried_by_id_with_another_payload(api, stores):
    for n in range(3):
        await park(api, stores, f"t{n}")
    body = {"ids": ["t0", "t2", "t2", "none"], "payload": {"n": 9}}
    answer = await api.act(f"{QUEUE}/dead/retry", body)
    assert (answer.status, answer.document) == (200, {"matched": 2, "done": 2})
    assert ids_of(await api.get(f"{QUEUE}/dead")) == ["t1"]
    assert (await api.get("/v1/tasks/t2")).document["payload"] == {"n": 9}
    (action,) = await stores.ledger.actions(10)
    assert (action.action, action.count, action.target) == ("dead.retry", 2, {"ids": body["ids"]})


async def test_those_that_match_are_discarded_and_stay_so(api, stores):
    await park(api, stores, "a", error=TIMEOUT)
    await park(api, stores, "b")
    answer = await api.act(f"{QUEUE}/dead/discard", {"filter": {"error": "timeout"}})
    assert answer.document == {"matched": 1, "done": 1}
    task = (await api.get("/v1/tasks/a")).document
    assert (task["state"], task["run"], task["error"]["type"]) == ("discarded", 2, "timeout")
    assert ids_of(await api.get(f"{QUEUE}/dead")) == ["b"]
    assert (await api.act("/v1/tasks/a/retry")).code == "state_conflict"


async def test_all_are_resumed_batch_by_batch(api, stores):
    await api.act("/v1/tasks/batch", [TASK | {"taskId": f"t{n}"} for n in range(450)])
    for n in range(450):
        await stores.park(f"t{n}", state=TaskState.SUSPENDED)
    answer = await api.act(f"{QUEUE}/suspended/resume", {"all": True})
    assert answer.document == {"matched": 450, "done": 450}
    assert (await api.get(QUEUE)).document["depth"]["queued"] == 450


async def test_a_discard_leaves_a_task_alone_that_is_redriven_already(api, stores):
    await park(api, stores)
    await api.act("/v1/tasks/t1/retry")
    answer = await api.act(f"{QUEUE}/dead/discard", {"ids": ["t1"]})
    assert answer.document == {"matched": 1, "done": 0}
    assert (await api.get("/v1/tasks/t1")).document["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#"]),
        ({"all": False}, ["#"]),
        ({"all": True, "ids": ["t1"]}, ["#"]),
        ({"filter": {}}, ["#/filter"]),
        ({"filter": {"colour": "red"}}, ["#/filter/colour"]),
        ({"ids": []}, ["#/ids"]),
        ({"ids": ["a/b"]}, ["#/ids/0"]),
        ({"all": True, "payload": {}}, ["#/payload"]),
    ],
)
async def test_a_selection_must_be_clear(api, stores, body, pointers):
    await park(api, stores)
    refused = await api.act(f"{QUEUE}/dead/retry", body)
    assert (refused.status, refused.pointers) == (422, pointers)
    assert ids_of(await api.get(f"{QUEUE}/dead")) == ["t1"]


async def test_a_bad_payload_for_one_of_many_changes_nothing(api, stores):
    await api.submit(DELIVER, taskId="t1")
    await stores.park("t1")
    body = {"ids": ["t1"], "payload": {"url": "nowhere"}}
    assert (await api.act(f"{QUEUE}/dead/retry", body)).pointers == ["#/payload/url"]
    assert ids_of(await api.get(f"{QUEUE}/dead")) == ["t1"]


async def test_without_the_ledger_nothing_is_redriven(start, sqlite_path, stores):
    api = await start(store_timeout_ms=1_000)
    await park(api, stores)
    with locked(sqlite_path):
        for path in ("/v1/tasks/t1/retry", f"{QUEUE}/dead/retry", f"{QUEUE}/dead/discard"):
            body = None if path.startswith("/v1/tasks") else {"all": True}
            refused = await api.act(path, body)
            assert (refused.status, refused.code) == (503, "unavailable"), path


async def test_a_queue_nobody_has_used_has_no_dead(api):
    assert (await api.get("/v1/queues/none/dead")).code == "queue_not_found"
    refused = await api.act("/v1/queues/none/dead/retry", {"all": True})
    assert refused.code == "queue_not_found"
