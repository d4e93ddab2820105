"""The demo, smaller: what is lost comes back, and the drill's own books say so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.stack.process import started_at


def drill(scenario, *options, tasks=300):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "app.cli",
            "drill",
            f"--scenario={scenario}",
            f"--tasks={tasks}",
            "--json",
            *options,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "ok", document
    assert done.returncode == 0
    assert (document["submitted"], document["accepted"]) == (tasks, tasks)
    assert (document["lost"], document["duplicateResults"], document["copiesLeft"]) == (0, 0, 0)
    assert all(sum(fault["inFlight"].values()) > 0 for fault in document["faults"])
    return document


@pytest.mark.timeout(420)
def test_a_wiped_redis_loses_nothing(tmp_path):
    report = tmp_path / "new" / "report.html"
    document = drill("redis-wipe", "--keep", f"--report={report}")
    assert (len(document["faults"]), document["restored"] > 0) == (1, True)
    kept = document["kept"]
    pids = [*kept["processes"].values(), *kept["servers"].values()]
    try:
        assert all(started_at(pid) for pid in pids)
    finally:
        end = [sys.executable, "-m", "app.cli", "down", "--wipe", "--yes", "--dir", kept["dir"]]
        done = subprocess.run(end, check=True, capture_output=True, text=True, timeout=100)
    assert "receiver" in done.stdout
    assert not any(started_at(pid) for pid in pids)
    assert not Path(kept["dir"]).exists()
    assert document["report"] == str(report)
    # No store was silent all the time: each has a line.
    assert 'd=""' not in report.read_text()


@pytest.mark.timeout(330)
def test_rabbitmq_takes_the_tasks_while_redis_is_away_and_all_of_them_run():
    document = drill("redis-down-accept")
    assert document["acceptedByRabbitmq"] > 0
    assert document["restored"] > 0


@pytest.mark.timeout(330)
def test_a_stale_replica_in_redis_s_place_loses_nothing_and_runs_nothing_again():
    # The drill itself fails where the loss is not found, or a finished task runs again.
    document = drill("redis-stale-failover")
    assert document["zombies"] == 0
    assert document["restored"] > 0


@pytest.mark.timeout(330)
def test_a_ledger_that_loses_its_primary_three_times_keeps_every_outcome():
    # The drill itself fails where one is gone, or where the primary alone was not set back.
    document = drill("mongo-failover", tasks=200)
    assert len(document["faults"]) == 3
    assert document["zombies"] == 0
    # Not to the last effect of earlier work: on a slow machine that may have come just before.
    assert document["rtoFirstSeconds"] > 0
