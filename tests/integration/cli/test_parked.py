"""``lifeboat dead`` and ``suspended``, ``task cancel|retry|ls``, ``queue pause|clear``."""

import pytest

from app.ledger.records import ErrorInfo
from app.state import TaskState

BUSY = ErrorInfo("busy", "The line is busy.", retryable=True)
GROUPS = [("dead", "retry", TaskState.DEAD), ("suspended", "resume", TaskState.SUSPENDED)]


@pytest.fixture
def park(api, stores):
    async def park(*ids, state):
        for task_id in ids:
            await api.submit(taskId=task_id, context={"user": task_id})
            await stores.park(task_id, state=state, error=BUSY)

    return park


async def state_of(api, task_id):
    return (await api.get(f"/v1/tasks/{task_id}")).document["state"]


@pytest.mark.parametrize(("group", "verb", "state"), GROUPS)
async def test_the_parked_are_listed_and_shown(lifeboat, park, group, verb, state):
    assert f"No task is {state}." in (await lifeboat(group, "ls")).out
    await park("t1", "t2", state=state)
    listed = await lifeboat(group, "ls")
    for text in ("t1", "t2", "busy: The line is busy."):
        assert text in listed.out
    one = await lifeboat(group, "ls", "--user", "t2", "--since", "1h", "--json")
    assert [each["taskId"] for each in one.document["items"]] == ["t2"]
    shown = await lifeboat(group, "show", "t1")
    assert "The line is busy." in shown.out
    limited = await lifeboat(group, "ls", "--limit", "1", "--json")
    assert len(limited.document["items"]) == 1


@pytest.mark.parametrize(("group", "verb", "state"), GROUPS)
async def test_some_run_again(lifeboat, park, api, group, verb, state):
    await park("t1", "t2", state=state)
    ran = await lifeboat(group, verb, "t1", "t2", "--payload", '{"n":9}', "--json")
    assert (ran.code, ran.document) == (0, {"matched": 2, "done": 2})
    assert (await api.get("/v1/tasks/t1")).document["payload"] == {"n": 9}


@pytest.mark.parametrize(("group", "verb", "state"), GROUPS)
async def test_those_that_match_run_again(lifeboat, park, api, group, verb, state):
    await park("t1", "t2", state=state)
    chosen = ("--queue", "default", "--user", "t2")
    asked = await lifeboat(group, verb, *chosen, typed="n\n")
    assert (asked.code, asked.out) == (1, "")
    assert f"{verb.capitalize()} all {state} tasks of the queue default with user t2?" in asked.err
    ran = await lifeboat(group, verb, *chosen, "--yes")
    assert (ran.code, ran.out) == (0, "1 matched, 1 done.\n")
    assert [await state_of(api, each) for each in ("t1", "t2")] == [state, "queued"]


@pytest.mark.parametrize(("group", "verb", "state"), GROUPS)
async def test_discarding_asks_first(lifeboat, park, api, group, verb, state):
    await park("t1", "t2", state=state)
    asked = await lifeboat(group, "discard", "t1", typed="n\n")
    assert (asked.code, await state_of(api, "t1")) == (1, state)
    assert (await lifeboat(group, "discard", "t1", typed="y\n")).code == 0
    ran = await lifeboat(group, "discard", "--all", "--queue", "default", "--yes", "--json")
    assert ran.document == {"matched": 1, "done": 1}
    assert await state_of(api, "t1") == await state_of(api, "t2") == "discarded"


@pytest.mark.parametrize(("group", "verb", "state"), GROUPS)
@pytest.mark.parametrize("where", [(), ("--queue", "default")])
async def test_a_named_task_that_is_not_there_fails_and_hinders_no_other(
    lifeboat, park, api, group, verb, state, where
):
    await park("t1", "t2", state=state)
    await api.submit(taskId="queued")
    alone = await lifeboat(group, verb, "nope", *where)
    assert (alone.code, alone.out) == (1, "")
    assert "There is no task nope" in alone.err
    ran = await lifeboat(group, verb, "nope", "queued", "t1", *where, "--json")
    assert (ran.code, ran.document["matched"], ran.document["done"]) == (1, 1, 1)
    refused = [(each["taskId"], each["code"]) for each in ran.document["refused"]]
    assert refused == [("nope", "task_not_found"), ("queued", "state_conflict")]
    assert ran.err.splitlines() == [each["error"] for each in ran.document["refused"]]
    assert await state_of(api, "t1") == "queued"

    discarded = await lifeboat(group, "discard", "nope", "queued", "t2", *where, "--yes", "--json")
    assert (discarded.code, discarded.document["done"]) == (1, 1)
    refused = [(each["taskId"], each["code"]) for each in discarded.document["refused"]]
    assert refused == [("nope", "task_not_found"), ("queued", "state_conflict")]
    assert await state_of(api, "t2") == "discarded"
    again = await lifeboat(group, "discard", "t2", *where, "--yes", "--json")
    assert (again.code, again.document) == (0, {"matched": 1, "done": 1})


@pytest.mark.parametrize(("group", "verb", "state"), GROUPS)
async def test_where_none_matches_that_is_said(lifeboat, park, group, verb, state):
    await park("t1", state=state)
    ran = await lifeboat(group, "ls", "--channel", "frob", "--chat-id", "7", "--since", "1h")
    assert f"No {state} task matches channel frob, chat-id 7, since 20" in ran.out


@pytest.mark.parametrize(
    "arguments", [(), ("t1", "--all"), ("--all",), ("--user", "ada"), ("t1", "--user", "ada")]
)
async def test_which_ones_must_be_said(lifeboat, arguments):
    ran = await lifeboat("dead", "discard", *arguments, "--yes")
    assert (ran.code, ran.out) == (2, "")


async def test_a_task_is_cancelled_after_asking(lifeboat, api):
    await api.submit(taskId="t1")
    assert (await lifeboat("task", "cancel", "t1", typed="\n")).code == 1
    ran = await lifeboat("task", "cancel", "t1", "--yes")
    assert (ran.code, ran.out) == (0, "t1 is cancelled (run 1).\n")


async def test_a_dead_task_runs_again(lifeboat, park):
    await park("t1", state=TaskState.DEAD)
    ran = await lifeboat("task", "retry", "t1")
    assert (ran.code, ran.out) == (0, "t1 is queued (run 2).\n")


async def test_what_is_not_dead_is_refused_with_what_to_do(lifeboat, api):
    await api.submit(taskId="t1")
    ran = await lifeboat("task", "retry", "t1")
    assert ran.code == 1
    assert "lifeboat task get" in ran.err


async def test_tasks_are_listed(lifeboat, api):
    await api.submit(taskId="t1", queue="mail")
    await api.submit(taskId="t2", delayMs=60_000)
    every = await lifeboat("task", "ls", "--json")
    assert {each["taskId"] for each in every.document["items"]} == {"t1", "t2"}
    some = await lifeboat("task", "ls", "--state", "scheduled")
    assert "t2" in some.out
    assert "t1" not in some.out


async def test_a_queue_is_paused_and_cleared(lifeboat, api):
    await api.submit(taskId="t1")
    paused = await lifeboat("queue", "pause", "default", "--json")
    assert paused.document["paused"] is True
    assert (await lifeboat("queue", "unpause", "default", "--json")).document["paused"] is False
    cleared = await lifeboat("queue", "clear", "default", "--yes", "--json")
    assert cleared.document == {"cancelled": 1}
