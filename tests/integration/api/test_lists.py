"""``GET /v1/queues/{q}/tasks``: open tasks out of Redis, finished ones out of the ledger."""

import pytest

from app.broker.presence import Presence, WorkerItem
from app.cursors import write_cursor
from app.ledger.records import RehydrationRecord
from app.names import QueueName
from app.state import TaskState
from tests.integration.api.api import TASK

NO_CURSORS = [
    "x",
    write_cursor(),
    write_cursor("queued"),
    write_cursor("queued", 1),
    write_cursor("queued", "y"),
    write_cursor("scheduled", "1:"),
    write_cursor("finished", "y"),
    write_cursor("x", "y"),
]
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


@pytest.mark.parametrize("query", ["state=lost", "limit=0", "type=a/b"])
async def test_a_bad_query_is_refused(api, query):
    await api.submit()
    refused = await api.get(f"{QUEUE}/tasks?{query}")
    assert (refused.status, refused.code) == (422, "invalid_task")


@pytest.mark.parametrize("cursor", NO_CURSORS)
async def test_a_cursor_of_no_list_is_refused(api, cursor):
    await api.submit()
    refused = await api.get(f"{QUEUE}/tasks?cursor={cursor}")
    assert (refused.status, refused.pointers) == (422, ["?cursor"])


@pytest.fixture
async def five(mirrored_api, stores):
    """Five of each; the runs began two at a time."""
    presence = Presence(stores.redis, stores.settings.env)
    for n in (3, 1, 0, 4, 2):
        assert (await mirrored_api.submit(queue=f"q{n}", durability="fast")).status == 202
        names = (QueueName("default", "q0"),)
        await presence.announce(WorkerItem(f"w{n}", names, (), 1, 0, 1, 1), 60_000)
        run = RehydrationRecord(f"r{n}", "complete", 100 + n // 2, finished_at_ms=200)
        await stores.ledger.put_rehydration(run)
    other = (QueueName("other", "q0"),)
    await presence.announce(WorkerItem("w00", other, (), 1, 0, 1, 1), 60_000)
    return mirrored_api


WHOLE = [
    ("/v1/queues", "queue", ["q0", "q1", "q2", "q3", "q4"]),
    ("/v1/mirror", "queue", ["q0", "q1", "q2", "q3", "q4"]),
    ("/v1/workers", "worker", ["w0", "w1", "w2", "w3", "w4"]),
    ("/v1/rehydrations", "id", ["r4", "r3", "r2", "r1", "r0"]),
]


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize(("path", "name", "expected"), WHOLE)
async def test_a_list_comes_page_by_page(five, path, name, expected, limit):
    assert [each[name] for each in (await five.get(path)).document["items"]] == expected
    found, cursor = [], ""
    while cursor is not None:
        page = (await five.get(f"{path}?limit={limit}{cursor and '&cursor=' + cursor}")).document
        assert len(page["items"]) == min(limit, len(expected) - len(found))
        found += [each[name] for each in page["items"]]
        cursor = page["cursor"]
    assert found == expected


@pytest.mark.parametrize("path", [path for path, _, _ in WHOLE])
async def test_a_list_refuses_what_is_no_page_of_it(five, path):
    strange = (await five.get(f"{QUEUE.replace('default', 'q0')}/tasks?limit=1")).document["cursor"]
    for query in ("limit=0", "limit=201", "cursor=x", f"cursor={strange}"):
        refused = await five.get(f"{path}?{query}")
        assert (refused.status, refused.pointers) == (422, [f"?{query.partition('=')[0]}"])


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_a_type_that_few_tasks_have_is_found_in_few_pages(api, limit):
    many = [TASK | {"taskId": f"t{n:03}", "delayMs": n % 2 * 3_600_000} for n in range(400)]
    rare = [TASK | {"taskId": f"r{n}", "type": "rare", "delayMs": n * 3_600_000} for n in range(3)]
    for some in (many[:200], rare, many[200:]):
        assert (await api.act("/v1/tasks/batch", some)).status == 202
    found, sizes = await walk(api, f"type=rare&limit={limit}")
    assert sorted(found) == [("r0", "queued"), ("r1", "scheduled"), ("r2", "scheduled")]
    assert max(sizes) <= limit
    assert len(sizes) <= 6


async def test_a_task_that_a_worker_holds_and_has_not_started_is_queued(api, stores):
    for task_id in ("held", "started", "waits"):
        await api.submit(taskId=task_id)
    held, started = (await stores.delivery().fetch(await stores.token(), "w1", 2)).entries
    assert (held.task_id, (await stores.start(started)).verdict) == ("held", "run")
    assert sorted((await walk(api, "state=queued"))[0]) == [("held", "queued"), ("waits", "queued")]
    assert (await walk(api, "state=running"))[0] == [("started", "running")]
    assert len((await walk(api))[0]) == 3


async def test_what_is_given_back_for_a_while_is_not_scheduled(api, stores):
    await api.submit(taskId="later", delayMs=3_600_000)
    await api.submit(taskId="unknown")
    delivery, token = stores.delivery(), await stores.token()
    entries = (await delivery.fetch(token, "w1", 1)).entries
    await delivery.give_back_later(token, "w1", entries, 60_000)
    assert (await walk(api, "state=scheduled"))[0] == [("later", "scheduled")]
    assert sorted((await walk(api))[0]) == [("later", "scheduled"), ("unknown", "queued")]
