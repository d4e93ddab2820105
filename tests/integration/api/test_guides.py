"""The commands of the how-to pages, run as they stand against a real API."""

import asyncio
import re
from pathlib import Path

import orjson

from app.ledger.records import ErrorInfo
from app.state import TaskState

PAGES = Path(__file__).parents[3] / "docs/how-to"
BLOCK = re.compile(r"```sh executed\n(.*?)```", re.DOTALL)
TIMEOUT = ErrorInfo("timeout", "Too slow.", retryable=True)


async def answers(api, page):
    """What each command of a page prints."""
    for block in BLOCK.findall((PAGES / page).read_text()):
        command = block.replace("http://127.0.0.1:8000", api.url)
        process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        assert process.returncode == 0
        yield orjson.loads(out)


async def park(api, stores, task_id, state, error=TIMEOUT):
    await api.submit(taskId=task_id, queue="mail")
    await stores.park(task_id, queue="mail", state=state, error=error)


async def test_dead_letters(api, stores):
    for task_id in ("order-17", "order-18", "order-19"):
        error = (
            ErrorInfo("ValueError", "No.", retryable=False) if task_id == "order-18" else TIMEOUT
        )
        await park(api, stores, task_id, TaskState.DEAD, error)
    await park(api, stores, "order-20", TaskState.SUSPENDED)
    listed, retried, many, resumed, discarded = [
        each async for each in answers(api, "dead-letters.md")
    ]
    assert [each["taskId"] for each in listed["items"]] == ["order-19", "order-17"]
    assert (retried["state"], retried["run"]) == ("queued", 2)
    assert retried["payload"] == {"to": "ada@example.org"}
    assert resumed == discarded == {"matched": 1, "done": 1}
    assert many["done"] >= 1
    assert (await api.get("/v1/tasks/order-18")).document["state"] == "discarded"
    assert (await api.get("/v1/queues/mail")).document["depth"]["queued"] == 3


async def test_pause_cancel_clear(api):
    for task_id in ("order-17", "order-18"):
        await api.submit(taskId=task_id, queue="mail")
    paused, unpaused, cancelled, cleared = [
        each async for each in answers(api, "pause-and-clear.md")
    ]
    assert (paused["paused"], unpaused["paused"]) == (True, False)
    assert cancelled["state"] == "cancelled"
    assert cleared == {"cancelled": 1}
