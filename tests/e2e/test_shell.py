"""A person at a shell: submits, waits, finds the dead, and Redis is lost in between."""

import asyncio
import json
import os
import sys

import pytest

ANSWER_WITHIN_S = 150


@pytest.fixture
def shell(board):
    """Runs a command; (exit code, its one document)."""

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", *arguments, "--json"),
            env={**os.environ, **board.environment, "LIFEBOAT_API_URL": board.api},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await asyncio.wait_for(process.communicate(), ANSWER_WITHIN_S)
        assert len(out.splitlines()) == 1, errors.decode()
        return process.returncode, json.loads(out)

    return run


def delivery(url):
    return ("http.deliver", json.dumps({"url": url}), "--queue", "mail", "--wait", "60s")


async def test_dead_letters_are_found_and_retried_after_redis_is_lost(board, shell):
    code, task = await shell("task", "add", *delivery(board.receiver_url))
    assert (code, task["state"]) == (0, "succeeded")
    nobody = board.receiver_url.replace("/hook", "/nothing-here")
    code, task = await shell(
        "task", "add", *delivery(nobody), "--id", "lost", "--max-attempts", "1"
    )
    assert (code, task["state"]) == (1, "dead")
    await board.wipe_redis()
    code, _ = await board.rehydrate()
    assert code == 0
    code, dead = await shell("dead", "ls")
    assert (code, [each["taskId"] for each in dead["items"]]) == (0, ["lost"])
    mended = json.dumps({"url": board.receiver_url})
    code, acted = await shell("dead", "retry", "lost", "--payload", mended)
    assert (code, acted) == (0, {"matched": 1, "done": 1})
    code, task = await shell("task", "wait", "lost")
    assert (code, task["state"], task["run"]) == (0, "succeeded", 2)
    assert "lost" in board.arrivals()
    code, cleared = await shell("queue", "inspect", "mail")
    assert (code, cleared["depth"]["dead"]) == (0, 0)
