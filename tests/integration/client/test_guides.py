"""The guides' examples run: against a real API with a real worker, or without any server."""

import asyncio
import re
import sys
import types
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from app.client import Client
from app.ledger.records import ErrorInfo
from app.stack.process import free_port
from app.worker.embedding import embedded_worker
from tests.support.eventually import eventually

GUIDES = Path(__file__).parents[3] / "docs/how-to"
BLOCK = re.compile(r"```python executed\n(.*?)```", re.DOTALL)


def names_of(guide, module="guide"):
    """What the blocks marked ``executed`` define, run in their order."""
    names = {"__name__": module}
    for block in BLOCK.findall((GUIDES / guide).read_text()):
        exec(compile(block, guide, "exec"), names)
    return names


@pytest.fixture
def guide():
    return names_of("use-the-client.md")


@pytest.fixture
def tasks(monkeypatch):
    """``tasks.py`` of the guide on handlers."""
    module = types.ModuleType("tasks")
    module.__dict__.update(names_of("write-a-handler.md", "tasks"))
    monkeypatch.setitem(sys.modules, "tasks", module)
    return module


async def test_a_task_is_submitted_and_waited_for(api, guide, tasks, settings_of):
    async with embedded_worker(settings_of(), tasks.registry):
        assert (await guide["main"](api.url)).startswith("succeeded: {'to': 'ada'")


async def test_code_without_a_loop_submits_too(api, guide):
    assert await asyncio.to_thread(guide["submit_report"], api.url) == "scheduled"


async def test_many_have_their_outcomes(client, guide):
    first, again = [await guide["submit_all"](client, ["ada", "bob"]) for _ in range(2)]
    assert first == again
    assert len(set(first)) == 2


async def test_what_is_unknown_is_repeated_until_it_is_known(gate, clients, guide):
    gate.swallow = 1
    client = clients(gate.url, repeat=False)
    task_id = await guide["submit_surely"](client, {"n": 1})
    assert (await client.get(task_id)).payload == {"n": 1}
    assert gate.seen == 3


async def test_the_busy_run_again(client, stores, guide):
    await client.submit("report", {}, task_id="t1", queue="mail")
    busy = ErrorInfo("busy", "Busy.", retryable=True)
    await stores.park("t1", queue="mail", error=busy)
    (dead,), done = await guide["retry_the_busy"](client)
    assert (dead.task_id, done) == ("t1", 1)


async def test_a_try_that_fails_for_the_moment_is_queued(api, guide):
    assert (await guide["notify"](api.url, "ada")).startswith("sent default/default/")
    queued = await guide["notify"](api.url, "busy")
    async with Client(api.url) as client:
        task = await client.get(queued.removeprefix("queued as "))
    assert (task.state, task.type) == ("scheduled", "sms")


async def test_an_application_submits_and_works(api, client, guide, settings_of, stop_later):
    port = free_port()
    web = guide["application"](api.url, settings_of())
    server = uvicorn.Server(uvicorn.Config(web, port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    stop_later(serving)
    await eventually(lambda: server.started)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/greetings/ada") as response,
    ):
        task_id = (await response.json())["taskId"]
    task = await client.wait(task_id, timeout=30)
    assert (task.state, task.result) == ("succeeded", f"sent default/default/{task_id}")
    server.should_exit = True
    await asyncio.wait_for(serving, 60)


async def test_the_tests_of_the_guide_pass(tasks):
    names = names_of("test-your-handlers.md")
    tests = [each for name, each in names.items() if name.startswith("test_")]
    assert len(tests) == 4
    for test in tests:
        await test()
