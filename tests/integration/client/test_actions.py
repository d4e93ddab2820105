"""What an operator does, from Python: cancel, run again, give up; pause, clear; lists."""

import pytest

from app.client import Conflict, Invalid, NewTask, NotFound
from app.ledger.records import ErrorInfo
from app.state import TaskState

BUSY = ErrorInfo("busy", "Busy.", retryable=True)


async def park(client, stores, task_id, **more):
    given = {"state": TaskState.DEAD, "error": BUSY} | more
    await client.submit("report", {"n": 1}, task_id=task_id, context={"user": task_id})
    await stores.park(task_id, **given)


async def test_a_task_is_cancelled_once_and_for_all(client):
    await client.submit("report", {}, task_id="t1")
    assert (await client.cancel("t1")).state is TaskState.CANCELLED
    assert (await client.cancel("t1", queue="default")).state is TaskState.CANCELLED


async def test_what_is_over_cannot_be_cancelled(client, stores):
    await client.submit("report", {}, task_id="t1")
    await stores.run_one()
    with pytest.raises(Conflict) as refused:
        await client.cancel("t1")
    assert refused.value.code == "state_conflict"


@pytest.mark.parametrize(
    ("state", "verb"), [(TaskState.DEAD, "retry"), (TaskState.SUSPENDED, "resume")]
)
async def test_a_parked_task_runs_again_with_another_payload(client, stores, state, verb):
    await park(client, stores, "t1", state=state)
    task = await getattr(client, verb)("t1", payload={"n": 2})
    assert (task.state, task.run, task.payload) == (TaskState.QUEUED, 2, {"n": 2})


async def test_a_queue_is_paused_unpaused_and_cleared(client):
    await client.submit("report", {})
    assert (await client.pause("default")).paused
    assert not (await client.unpause("default")).paused
    assert await client.clear("default") == 1
    with pytest.raises(NotFound):
        await client.pause("nothing")


@pytest.mark.parametrize("state", [TaskState.DEAD, TaskState.SUSPENDED])
async def test_the_parked_are_listed_by_filters_over_pages(client, stores, state):
    listed = getattr(client, state)
    for n in range(60):
        await park(client, stores, f"t{n}", state=state)
    every = [task.task_id async for task in listed("default")]
    assert sorted(every) == sorted(f"t{n}" for n in range(60))
    assert [task.task_id async for task in listed("default", user="t7", error="busy")] == ["t7"]
    assert [task async for task in listed("default", error="other")] == []
    first = listed("default", limit=55)
    found = [task.task_id async for task in first]
    rest = listed("default", limit=55, cursor=first.cursor)
    assert (found, [task.task_id async for task in rest]) == (every[:55], every[55:])
    assert rest.cursor is None


async def test_many_are_run_again_or_given_up(client, stores):
    for n in range(6):
        await park(client, stores, f"t{n}", state=TaskState.DEAD if n < 4 else TaskState.SUSPENDED)
    assert (await client.retry_dead("default", ids=["t0"], payload={"n": 2})).done == 1
    assert (await client.retry_dead("default", filter={"user": "t1"})).done == 1
    assert (await client.discard_dead("default", all=True)).done == 2
    assert (await client.resume_suspended("default", ids=["t4"])).done == 1
    assert (await client.discard_suspended("default", ids=["t5", "t9"])).matched == 1
    states = [(await client.get(f"t{n}")).state for n in range(6)]
    assert states == ["queued", "queued", "discarded", "discarded", "queued", "discarded"]


async def test_more_ids_than_a_call_takes_go_in_several(client, stores):
    await park(client, stores, "t1")
    ids = [f"x{n}" for n in range(1_000)] + ["t1"]
    acted = await client.discard_dead("default", ids=ids)
    assert (acted.matched, acted.done) == (1, 1)


@pytest.mark.parametrize("selection", [{}, {"ids": ["t1"], "all": True}, {"all": False}])
async def test_a_selection_says_one_thing(client, selection):
    with pytest.raises(ValueError, match="exactly one"):
        await client.discard_dead("default", **selection)


async def test_an_empty_filter_is_not_everything(client, stores):
    await park(client, stores, "t1")
    with pytest.raises(Invalid):
        await client.discard_dead("default", filter={})


async def test_the_tasks_of_a_queue_are_listed_by_state(client, stores):
    await client.submit("other", {}, task_id="done")
    await stores.run_one()
    await client.submit_many(NewTask("report", {}, task_id=f"t{n}") for n in range(60))
    await client.submit("report", {}, task_id="later", delay=60)
    listed = [task.task_id async for task in client.tasks("default", state="queued")]
    assert sorted(listed) == sorted(f"t{n}" for n in range(60))
    assert len([task async for task in client.tasks("default")]) == 62
    assert [task.task_id async for task in client.tasks("default", type="other")] == ["done"]
