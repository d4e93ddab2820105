"""A rehydration asked for over HTTP, from one process to another."""

import aiohttp

from tests.support.eventually import eventually


async def ask(board, **body):
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{board.api}/v1/rehydrations", json=body) as response,
    ):
        return response.status, response.headers.get("Location"), await response.json()


async def ended(board, location):
    _, run = await board.get(location)
    return run if run["finishedAt"] else None


async def test_a_run_asked_for_over_http_accounts_for_every_copy(board):
    board.service("worker").process.kill9()
    ids = [f"h-{n}" for n in range(20)]
    await board.submit(*(board.delivery(each) for each in ids))
    await board.all_mirrored()
    status, location, run = await ask(board, queue="mail")
    assert (status, run["state"]) == (202, "requested")
    done = await eventually(lambda: ended(board, location), within_s=90, every_s=0.3)
    assert (done["state"], done["problems"]) == ("complete", [])
    assert (done["seen"], done["present"] + done["restored"]) == (20, 20)

    await board.service("worker").start()
    await eventually(lambda: all_arrived(board, ids), within_s=60)
    assert sorted(board.arrivals()) == sorted(ids)


def all_arrived(board, ids):
    return set(board.arrivals()) >= set(ids)


async def test_without_a_rehydrator_the_run_says_so(board):
    board.service("rehydrator").process.kill9()
    _, location, _ = await ask(board)
    refused, _, problem = await ask(board)
    assert (refused, problem["code"]) == (409, "rehydration_running")
    done = await eventually(lambda: ended(board, location), within_s=90, every_s=0.5)
    assert done["state"] == "failed"
    assert "No rehydrator took it" in done["problems"][0]
