"""The quorum queue is deleted by hand while everybody works; ``remirror`` fills the new one."""

import asyncio
import json
from urllib.parse import quote

import aiohttp

from tests.support.eventually import eventually

MIRROR_QUEUE = "lifeboat.mirror.mail"


async def delete_queue(board):
    url = board.environment["LIFEBOAT_RABBITMQ_MANAGEMENT_URL"]
    vhost = quote(board.environment["LIFEBOAT_RABBITMQ_URL"].rpartition("/")[2], safe="")
    async with (
        aiohttp.ClientSession() as session,
        session.delete(f"{url}/api/queues/{vhost}/{MIRROR_QUEUE}") as response,
    ):
        assert response.status == 204


async def command(board, *arguments):
    process = board.lifeboat(*arguments, "--json")
    out, errors = await asyncio.to_thread(process.communicate, timeout=150)
    assert out, errors
    return process.returncode, json.loads(out)


async def succeeded(board, ids):
    found = [(await board.get(f"/v1/tasks/{each}?queue=mail"))[1] for each in ids]
    return all(each.get("state") == "succeeded" for each in found)


async def test_after_remirror_a_wipe_of_redis_loses_nothing(board):
    waiting = [f"later-{n}" for n in range(60)]
    await board.submit(*(board.delivery(each, delayMs=40_000) for each in waiting))
    await delete_queue(board)

    stop = asyncio.Event()
    made = []

    async def produce():
        while not stop.is_set():
            made.append(f"new-{len(made)}")
            await board.submit(board.delivery(made[-1]))

    producing = asyncio.create_task(produce())
    code, report = await command(board, "remirror")
    stop.set()
    await producing
    assert (code, report["state"], report["left"]) == (0, "complete", 0)
    assert report["seen"] >= 60

    await board.wipe_redis()
    await eventually(lambda: succeeded(board, [*waiting, *made]), within_s=120, every_s=0.5)
    assert set(board.arrivals()) == {*waiting, *made}

    code, found = await command(board, "reconcile")
    assert (code, found["findings"]) == (0, [])
    code, examined = await command(board, "doctor")
    assert code == 0, [each for each in examined["checks"] if each["status"] == "fail"]
