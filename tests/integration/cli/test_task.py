"""``lifeboat task``: people get sentences and tables, scripts one document."""

import asyncio
import json

import pytest
from aiohttp import web

from app.state import TaskState
from tests.support.eventually import eventually


async def test_a_task_is_added_and_shown(lifeboat):
    ran = await lifeboat(
        *("task", "add", "report", '{"n":1}', "--id", "t1", "--queue", "mail", "--user", "ada")
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "t1 created, queued, fast, degraded\n"
    shown = await lifeboat("task", "get", "t1")
    assert shown.code == 0
    for text in ("t1", "default/mail", "report", "queued", '{"n": 1}', '"channel": "cli"'):
        assert text in shown.out


async def test_json_is_the_apis_own_document(lifeboat, api):
    added = await lifeboat("task", "add", "report", "--id", "t1", "--json")
    assert (added.code, added.err) == (0, "")
    assert added.document["disposition"] == "created"
    shown = await lifeboat("task", "get", "t1", "--json")
    assert shown.document == (await api.get("/v1/tasks/t1")).document


async def test_a_repeat_is_a_duplicate(lifeboat):
    for disposition in ("created", "duplicate"):
        ran = await lifeboat("task", "add", "report", "--key", "k1", "--json")
        assert (ran.code, ran.document["disposition"]) == (0, disposition)


async def test_a_payload_comes_from_a_file_or_stdin(lifeboat, tmp_path):
    file = tmp_path / "payload.json"
    file.write_text('{"n": 2}')
    await lifeboat("task", "add", "report", f"@{file}", "--id", "t1")
    await lifeboat("task", "add", "report", "-", "--id", "t2", typed='{"n": 3}')
    payloads = [
        (await lifeboat("task", "get", each, "--json")).document["payload"] for each in ("t1", "t2")
    ]
    assert payloads == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("report", "{"), "PAYLOAD"),
        (("report", "[]"), "PAYLOAD"),
        (("report", "@nowhere"), "nowhere"),
        (("report", "--delay", "soon"), "--delay"),
        (("report", "--not-before", "soon"), "--not-before"),
        (("report", "--priority", "urgent"), "--priority"),
        ((), "TYPE"),
    ],
)
async def test_wrong_usage_exits_2_and_names_what_is_wrong(lifeboat, arguments, word):
    ran = await lifeboat("task", "add", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert word in ran.err


async def test_what_the_api_refuses_is_told_as_it_says(lifeboat):
    ran = await lifeboat("task", "add", "report", "--timeout", "0.01", "--json")
    assert ran.code == 1
    assert "#/timeoutMs" in ran.err
    assert ran.document["code"] == "invalid_task"
    assert ran.document["errors"][0]["pointer"] == "#/timeoutMs"


async def test_a_missing_task_is_told_with_where_to_look(lifeboat):
    ran = await lifeboat("task", "get", "nothing")
    assert (ran.code, ran.out) == (1, "")
    assert "There is no task nothing" in ran.err
    assert "lifeboat task ls" in ran.err


async def test_nobody_there_is_told_with_the_address_and_how_to_set_it(lifeboat_at):
    ran = await lifeboat_at("http://127.0.0.1:9", "task", "get", "t1")
    assert ran.code == 1
    assert "http://127.0.0.1:9: Connection refused" in ran.err
    assert "LIFEBOAT_API_URL" in ran.err


async def test_another_program_at_the_address_is_told(lifeboat_at):
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = site._server.sockets[0].getsockname()[1]
        ran = await lifeboat_at(f"http://127.0.0.1:{port}", "stats")
    finally:
        await runner.cleanup()
    assert ran.code == 1
    assert "answered 404" in ran.err
    assert "Is this Lifeboat's API? LIFEBOAT_API_URL" in ran.err


async def test_an_unanswered_submit_says_how_to_repeat_it(lifeboat_at):
    ran = await lifeboat_at("http://127.0.0.1:9", "task", "add", "report", "--json")
    assert f"--id {ran.document['taskId']}" in ran.err


async def test_an_address_that_is_none_is_a_usage_error(lifeboat_at):
    ran = await lifeboat_at("localhost:8000", "task", "get", "t1")
    assert ran.code == 2
    assert "LIFEBOAT_API_URL" in ran.err


@pytest.mark.parametrize(
    ("state", "code"), [(TaskState.SUCCEEDED, 0), (TaskState.DEAD, 1), (TaskState.SUSPENDED, 1)]
)
async def test_a_wait_exits_by_how_the_task_ended(lifeboat, stores, state, code):
    await lifeboat("task", "add", "report", "--id", "t1")
    waiting = asyncio.create_task(lifeboat("task", "wait", "t1", "--json"))
    await stores.run_one(state=state)
    ran = await waiting
    assert (ran.code, ran.document["state"]) == (code, state)


async def test_a_wait_in_vain_exits_3(lifeboat):
    await lifeboat("task", "add", "report", "--id", "t1")
    ran = await lifeboat("task", "wait", "t1", "--timeout", "0.05s", "--json")
    assert ran.code == 3
    assert "still queued" in ran.err


async def test_adding_can_wait_for_the_end(lifeboat, stores):
    waiting = asyncio.create_task(lifeboat("task", "add", "report", "--id", "t1", "--wait", "30s"))
    await eventually(lambda: stores.redis.redis.exists(stores.keys().task("t1")))
    await stores.run_one()
    ran = await waiting
    assert ran.code == 0
    assert json.dumps({"ok": True}) in ran.out
