"""``lifeboat quarantine``, ``worker ls`` and ``stats``: what a person looks at when something is odd."""

import pytest

from app.clock import now_ms
from app.envelope import encode, request_digest
from app.ledger.records import QuarantineRecord
from app.names import QueueName
from app.registry import TaskRegistry
from app.worker.embedding import embedded_worker
from tests.support.eventually import eventually


@pytest.fixture
def set_aside(stores):
    def set_aside(id, body):
        named, at = {"x-task-id": "t1"}, now_ms()
        return stores.ledger.put_quarantine(
            QuarantineRecord(id, "NOT_AN_ENVELOPE", "default", "default", "t1", named, body, at)
        )

    return set_aside


def written(task_id):
    given = {"type": "report", "payload": {"n": 1}}
    return encode(
        key=QueueName("default", "default").task(task_id),
        **given,
        context={},
        options={},
        run=1,
        digest=request_digest(given),
        accepted_at_ms=now_ms(),
    ).raw


async def test_an_empty_quarantine_is_a_sentence(lifeboat):
    ran = await lifeboat("quarantine", "ls")
    assert (ran.code, ran.out) == (0, "The quarantine is empty.\n")


async def test_what_lies_there_is_listed_and_shown(lifeboat, set_aside):
    await set_aside("q1", b"nonsense")
    listed = await lifeboat("quarantine", "ls")
    for text in ("q1", "NOT_AN_ENVELOPE", "t1"):
        assert text in listed.out
    shown = await lifeboat("quarantine", "show", "q1")
    assert "nonsense" in shown.out
    document = (await lifeboat("quarantine", "show", "q1", "--json")).document
    assert (document["id"], document["headers"]) == ("q1", {"x-task-id": "t1"})


async def test_a_copy_is_given_up_after_asking(lifeboat, set_aside):
    await set_aside("q1", b"nonsense")
    assert (await lifeboat("quarantine", "discard", "q1", typed="n\n")).code == 1
    assert (await lifeboat("quarantine", "discard", "q1", "--yes")).code == 0
    assert (await lifeboat("quarantine", "ls", "--json")).document == {"items": [], "cursor": None}


async def test_a_copy_is_taken_in_after_all(lifeboat, set_aside, api):
    await set_aside("q1", written("t1"))
    ran = await lifeboat("quarantine", "requeue", "q1", "--json")
    assert (ran.code, ran.document["taskId"]) == (0, "t1")
    assert (await api.get("/v1/tasks/t1")).document["state"] == "queued"


@pytest.mark.parametrize("verb", ["show", "requeue", "discard"])
async def test_what_is_not_there_is_told_with_where_to_look(lifeboat, verb):
    yes = () if verb != "discard" else ("--yes",)
    ran = await lifeboat("quarantine", verb, "nothing", *yes)
    assert ran.code == 1
    assert "lifeboat quarantine ls" in ran.err


async def test_workers_are_listed(lifeboat, api, settings_of):
    assert "No worker was seen lately." in (await lifeboat("worker", "ls")).out
    await api.submit(queue="mail", delayMs=60_000)
    async with embedded_worker(settings_of(), TaskRegistry()):

        async def listed():
            return (await lifeboat("worker", "ls", "--json")).document["items"]

        (worker,) = await eventually(listed)
        assert "http.deliver" in worker["types"]
        assert worker["worker"] in (await lifeboat("worker", "ls")).out


async def test_stats_show_everything_at_once(lifeboat, api):
    await api.submit(queue="mail")
    ran = await lifeboat("stats", "--json")
    assert set(ran.document) == {"queues", "mirror", "workers"}
    shown = await lifeboat("stats")
    for text in ("mail", "mirror of", "No worker was seen lately."):
        assert text in shown.out
