"""What operators did holds after Redis has lost everything; what was redriven runs once more."""

import aiohttp

from tests.support.eventually import eventually

FAR_MS = 3_600_000


async def act(board, path, document=None, *, expect=200):
    async with aiohttp.ClientSession() as session:
        sent = (
            session.post(board.api + path, json=document)
            if document
            else session.post(board.api + path)
        )
        async with sent as response:
            found = await response.json(content_type=None)
            assert response.status == expect, found
            return found


async def state_of(board, task_id):
    _, task = await board.get(f"/v1/tasks/{task_id}?queue=mail")
    return task.get("state")


async def ids(board, path):
    _, document = await board.get(path)
    return [each["taskId"] for each in document["items"]]


def refused(board, task_id):
    """A delivery that is dead at its first attempt."""
    payload = {"url": "http://192.0.2.1/", "method": "POST"}
    return board.delivery(task_id, payload=payload)


async def test_what_was_done_holds_after_a_wipe(board):
    await board.submit(
        refused(board, "dead-1"),
        refused(board, "dead-2"),
        refused(board, "dead-3"),
        board.delivery("cancelled", delayMs=FAR_MS),
        board.delivery("scheduled", delayMs=FAR_MS),
    )

    async def all_dead():
        return len(await ids(board, "/v1/queues/mail/dead")) == 3

    await eventually(all_dead, within_s=60)
    assert (await act(board, "/v1/tasks/cancelled/cancel?queue=mail"))["state"] == "cancelled"
    discarded = await act(board, "/v1/queues/mail/dead/discard", {"ids": ["dead-1"]})
    assert discarded == {"matched": 1, "done": 1}
    assert (await act(board, "/v1/queues/mail/pause"))["paused"]
    payload = {"payload": {"url": board.receiver_url, "json": {"n": 2}}}
    redriven = await act(board, "/v1/tasks/dead-2/retry?queue=mail", payload)
    assert (redriven["state"], redriven["run"], redriven["durability"]) == ("queued", 2, "mirrored")

    await board.wipe_redis()
    code, report = await board.rehydrate()
    assert code == 0, report

    for task_id, state in (
        ("dead-1", "discarded"),
        ("dead-2", "queued"),
        ("dead-3", "dead"),
        ("cancelled", "cancelled"),
        ("scheduled", "scheduled"),
    ):
        assert await state_of(board, task_id) == state, task_id
    assert await ids(board, "/v1/queues/mail/dead") == ["dead-3"]
    _, queue = await board.get("/v1/queues/mail")
    assert queue["paused"] is True
    assert board.arrivals() == []

    await act(board, "/v1/queues/mail/unpause")
    await eventually(lambda: is_in(board, "dead-2", "succeeded"), within_s=60)
    assert board.arrivals() == ["dead-2"]
    cleared = await act(board, "/v1/queues/mail/clear", {"confirm": "mail"})
    assert cleared == {"cancelled": 1}
    await eventually(lambda: no_copies(board), within_s=60)


async def is_in(board, task_id, state):
    return await state_of(board, task_id) == state


async def no_copies(board):
    return await board.copies() == 0


async def test_tasks_that_came_while_redis_was_away_run_when_it_is_back(board):
    await board.submit(board.delivery("before"))
    await eventually(lambda: is_in(board, "before", "succeeded"), within_s=60)
    board.stack.redis.kill9()
    names = [f"away-{n}" for n in range(20)]
    receipts = await board.submit(*(board.delivery(each) for each in names))
    assert {each["acceptedBy"] for each in receipts} == {"rabbitmq"}
    assert {each["disposition"] for each in receipts} == {"unchecked"}
    await board.stack.redis.start()

    async def all_ran():
        return sorted(board.arrivals()) == sorted(["before", *names])

    await eventually(all_ran, within_s=60)
    await eventually(lambda: no_copies(board), within_s=60)
