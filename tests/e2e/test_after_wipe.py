"""What was so before Redis lost everything is so after a rehydrate: every state, and the pause."""

import time

from tests.support.eventually import eventually

HOUR_MS = 3_600_000
SOON_MS = 10_000
KEPT = ("state", "run", "attempt", "nextAttemptAt", "attempts", "error", "result", "payload")


def now_ms():
    return time.time_ns() // 1_000_000


async def shown(board, task_id, queue="mail"):
    return (await board.get(f"/v1/tasks/{task_id}?queue={queue}"))[1]


async def is_state(board, task_id, state):
    return (await shown(board, task_id)).get("state") == state


async def waits_for_third(board, task_id):
    task = await shown(board, task_id)
    return (task.get("state"), task.get("attempt")) == ("retrying", 2)


def failing(board, task_id, times, **more):
    task = board.delivery(task_id, **more)
    task["payload"]["url"] += f"?fail={times}"
    return task


def slow(board, task_id):
    task = board.delivery(task_id, timeoutMs=60_000)
    task["payload"]["url"] += "?slow_ms=3600000"
    return task


async def wipe_and_rehydrate(board):
    await board.wipe_redis()
    code, report = await board.rehydrate()
    assert (code, report["state"]) == (0, "complete"), report
    return report


async def test_every_state_is_kept_over_a_wipe(board):
    at_ms = now_ms()
    wanted = {
        "scheduled": "scheduled",
        "retrying": "retrying",
        "dead": "dead",
        "suspended": "suspended",
        "cancelled-before": "cancelled",
        "cancelled-running": "cancelled",
        "cancelled-retrying": "cancelled",
        "expired": "expired",
        "succeeded": "succeeded",
    }
    waits_long = {"delaysMs": [10, HOUR_MS, HOUR_MS], "jitter": 0}
    await board.submit(
        board.delivery("scheduled", notBefore=at_ms + HOUR_MS),
        failing(board, "retrying", 5, retry=waits_long),
        failing(board, "dead", 5, retry={"delaysMs": [10], "jitter": 0}),
        {"taskId": "suspended", "type": "no.such", "queue": "mail", "payload": {"n": 1}},
        board.delivery("cancelled-before", notBefore=at_ms + HOUR_MS),
        slow(board, "cancelled-running"),
        failing(board, "cancelled-retrying", 5, retry=waits_long),
        board.delivery("expired", expiresAt=at_ms - 1_000),
        board.delivery("succeeded"),
    )
    await eventually(lambda: is_state(board, "cancelled-running", "running"), within_s=60)
    await eventually(lambda: waits_for_third(board, "cancelled-retrying"), within_s=60)
    for task_id in ("cancelled-before", "cancelled-running", "cancelled-retrying"):
        status, answer = await board.post(f"/v1/tasks/{task_id}/cancel?queue=mail")
        assert (status, answer["state"]) == (200, "cancelled"), answer
    await eventually(lambda: waits_for_third(board, "retrying"), within_s=60)
    for task_id, state in wanted.items():
        await eventually(lambda t=task_id, s=state: is_state(board, t, s), within_s=60)
    before = {task_id: await shown(board, task_id) for task_id in wanted}
    tries = {task_id: board.tries(task_id) for task_id in wanted}
    assert before["scheduled"]["nextAttemptAt"] == at_ms + HOUR_MS
    assert before["suspended"]["error"]["type"] == "unknown_type"
    outcomes = {
        task_id: [each["outcome"] for each in task["attempts"]] for task_id, task in before.items()
    }
    assert outcomes == {
        "scheduled": [],
        "retrying": ["failed", "failed"],
        "dead": ["failed", "failed"],
        "suspended": [],
        "cancelled-before": [],
        "cancelled-running": ["cancelled"],
        "cancelled-retrying": ["failed", "failed"],
        "expired": [],
        "succeeded": ["succeeded"],
    }

    await wipe_and_rehydrate(board)
    after = {task_id: await shown(board, task_id) for task_id in wanted}
    for task_id in wanted:
        assert kept(after[task_id]) == kept(before[task_id]), task_id
        assert board.tries(task_id) == tries[task_id], task_id

    # And what waits for a person can still be acted on.
    status, _ = await board.post("/v1/tasks/dead/retry?queue=mail", {"payload": ok(board)})
    assert status == 200
    await eventually(lambda: is_state(board, "dead", "succeeded"), within_s=60)
    assert (await shown(board, "dead"))["run"] == 2


def ok(board):
    return {"url": board.receiver_url, "json": {"n": "mended"}}


def kept(task):
    return {name: task.get(name) for name in KEPT}


async def test_delayed_ones_run_when_they_are_due_with_the_attempts_they_had(board):
    at_ms = now_ms()
    soon = {"delaysMs": [SOON_MS, 10], "jitter": 0}
    await board.submit(
        board.delivery("later", notBefore=at_ms + SOON_MS), failing(board, "again", 1, retry=soon)
    )
    await eventually(lambda: is_state(board, "again", "retrying"), within_s=60)
    due_ms = (await shown(board, "again"))["nextAttemptAt"]
    await wipe_and_rehydrate(board)
    for task_id in ("later", "again"):
        await eventually(lambda t=task_id: is_state(board, t, "succeeded"), within_s=60)
    later, again = await shown(board, "later"), await shown(board, "again")
    assert later["startedAt"] >= at_ms + SOON_MS
    assert again["startedAt"] >= due_ms
    assert (later["attempt"], again["attempt"]) == (1, 2)
    assert board.tries("again") == [(1, 1), (1, 2)]
    assert [each["outcome"] for each in again["attempts"]] == ["failed", "succeeded"]


async def test_a_paused_queue_stays_paused(board):
    await board.submit(board.delivery("first"))
    await eventually(lambda: is_state(board, "first", "succeeded"), within_s=60)
    status, _ = await board.post("/v1/queues/mail/pause")
    assert status == 200
    await board.submit(board.delivery("held"))
    await wipe_and_rehydrate(board)
    assert (await board.get("/v1/queues/mail"))[1]["paused"] is True
    # Other queues run, so nobody is too slow to start this one.
    await board.submit({**board.delivery("other"), "queue": "letters"})
    _, other = await board.get("/v1/tasks/other?queue=letters&wait=60")
    assert other["state"] == "succeeded"
    assert (await shown(board, "held"))["state"] == "queued"
    assert board.tries("held") == []
    await board.post("/v1/queues/mail/unpause")
    _, held = await board.get("/v1/tasks/held?queue=mail&wait=60")
    assert held["state"] == "succeeded"
