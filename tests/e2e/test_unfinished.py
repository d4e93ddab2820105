"""Everything unfinished comes back once, and what that takes is measured, on servers of its own."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_all_unfinished_tasks_are_back_and_a_second_run_restores_none():
    done = subprocess.run(
        [sys.executable, "-m", "app.bench.unfinished", "--tasks", "3000"],
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert (found["first"]["restored"], found["second"]["restored"]) == (3_000, 0)
    assert found["in_redis"] == found["entries"] == found["copies_ready"] == 3_000
    assert 0 < found["first"]["peak_rss_mb"] <= 120
