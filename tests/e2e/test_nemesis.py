"""Faults of every kind, two at once, for two minutes: nothing is lost, nothing twice, all heals."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(630)
def test_faults_of_every_kind_lose_nothing(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "app.cli", "drill", "--json", "--scenario=random"),
            *("--minutes=2", "--tasks=1200", "--seed=9", f"--report={tmp_path / 'report.html'}"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "ok", document
    assert (document["accepted"], document["lost"], document["zombies"]) == (1_200, 0, 0)
    assert len(document["faults"]) >= 20
