"""``GET /v1/queues/{q}/tasks``: open tasks out of Redis, finished ones out of the ledger."""

import pytest

from app.state import TaskState
from tests.integration.api.api import TASK

QUEUE = "/v1/queues/default"


async def walk(api, query=""):
    """Every page of a list: (id, state) of its tasks, and how long the pages were."""
    found, cursor, sizes = [], "", []
    while cursor is not None:
        answer = await api.get(f"{QUEUE}/tasks?{query}" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200
        items, cursor = answer.document["items"], answer.document["cursor"]
        found += [(each["taskId"], each["state"]) for each in items]
        sizes.append(len(items))
    return found, sizes


@pytest.fixture
async def mixed(api, stores):
    """Tasks in many states."""
    for state in ("succeeded", "dead", "suspended", "cancelled"):
        await api.submit(taskId=state)
        await stores.run_one(state=TaskState(state))
    await api.submit(taskId="running")
    await stores.start_one()
    await api.submit(taskId="scheduled", delayMs=3_600_000)
    await api.submit(taskId="queued")
    await api.submit(taskId="other", type="other", priority="low")
    return api


async def test_without_a_state_all_tasks_are_listed_once(mixed):
    found, _ = await walk(mixed)
    assert found == [
        ("scheduled", "scheduled"),
        ("queued", "queued"),
        ("other", "queued"),
        ("running", "running"),
        ("cancelled", "cancelled"),
        ("suspended", "suspended"),
        ("dead", "dead"),
        ("succeeded", "succeeded"),
    ]


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_of_any_size_bring_the_same(mixed, limit):
    whole, _ = await walk(mixed)
    found, sizes = await walk(mixed, f"limit={limit}")
    assert found == whole
    assert max(sizes) <= limit


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=queued", ["queued", "other"]),
        ("state=queued&type=other", ["other"]),
        ("state=running", ["running"]),
        ("state=scheduled", ["scheduled"]),
        ("state=retrying", []),
        ("state=dead", ["dead"]),
        ("type=other", ["other"]),
    ],
)
async def test_a_state_and_a_type_may_be_wanted(mixed, query, expected):
    found, _ = await walk(mixed, query)
    assert [task_id for task_id, _ in found] == expected


async def test_a_listed_task_is_the_task(mixed):
    document = (await mixed.get(f"{QUEUE}/tasks?state=running")).document
    assert document["items"] == [(await mixed.get("/v1/tasks/running")).document]


async def test_a_long_list_of_open_tasks(api):
    tasks = [TASK | {"taskId": f"t{n:03}", "delayMs": n % 2 * 3_600_000} for n in range(500)]
    await api.act("/v1/tasks/batch", tasks)
    found, sizes = await walk(api, "limit=200")
    assert sorted(task_id for task_id, _ in found) == [f"t{n:03}" for n in range(500)]
    assert max(sizes) <= 200


@pytest.mark.parametrize(
    "query", ["state=lost", "limit=0", "cursor=x", "cursor=cXVldWVk", "cursor=eDp5", "type=a/b"]
)
async def test_a_bad_query_is_refused(api, query):
    await api.submit()
    refused = await api.get(f"{QUEUE}/tasks?{query}")
    assert (refused.status, refused.code) == (422, "invalid_task")
