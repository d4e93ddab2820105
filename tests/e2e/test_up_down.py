"""``up --detach`` leaves a system that works, ``down`` leaves nothing."""

import json
import os
import subprocess
import sys

import aiohttp

from app.stack.process import started_at


def lifeboat(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        check=False,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_up_gives_a_system_that_down_ends(tmp_path):
    folder = ("--dir", str(tmp_path / "system"))
    running = lifeboat("up", "--detach", "--json", "--sqlite", *folder, LIFEBOAT_TENANT="acme")
    pids = [*running["processes"].values(), *running["servers"].values()]
    try:
        assert set(running["processes"]) == {"api", "worker", "mirror", "rehydrator"}
        assert set(running["servers"]) == {"redis", "rabbitmq"}
        assert running["mongoUrl"] is None
        assert all(started_at(pid) for pid in pids)
        async with aiohttp.ClientSession() as session:
            body = {"type": "http.deliver", "payload": {"url": "http://127.0.0.1:9/"}}
            async with session.post(f"{running['api']}/v1/tasks", json=body) as response:
                receipt = await response.json()
                assert response.status == 202, receipt
            url = f"{running['api']}/v1/tasks/{receipt['taskId']}?wait=60"
            async with session.get(url) as response:
                task = await response.json()
        assert task["tenant"] == "acme"
        assert (task["state"], task["error"]["retryable"]) == ("dead", False)
    finally:
        ended = lifeboat("down", "--json", "--wipe", "--yes", *folder)
    assert set(ended["ended"]) >= {"api", "worker", "mirror", "rehydrator", "redis", "rabbitmq"}
    assert not any(started_at(pid) for pid in pids)
    assert ended["left"] == []
    assert not (tmp_path / "system").exists()
