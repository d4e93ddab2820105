"""One run of some tests in one copy of the tree, and what it says."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

TEST_WITHIN_S = 60
RUN_WITHIN_S = 240
CONTROL_WITHIN_S = 1_200
LEAVE_WITHIN_S = 30
SOUND = (0, 1)
"""pytest's exit codes where every test was found, and run or left out after a failure."""


@dataclass
class Verdict:
    """``failed`` and ``errors``: node ids with what was said; ``broken``: why there is no verdict."""

    ran: int = 0
    failed: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    broken: str = ""
    output: str = ""


def run_tests(folder, tests, *more, within_s=RUN_WITHIN_S):
    """Run tests in a copy; its own code is under test, whatever is installed."""
    report = folder / "junit.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        *tests,
        "-p",
        "no:cacheprovider",
        "--no-header",
        "--tb=short",
        f"--junitxml={report}",
        "-o",
        f"timeout={TEST_WITHIN_S}",
        *more,
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        end(process)
        return Verdict(broken=f"the tests did not end within {within_s} s")
    except BaseException:
        end(process)
        raise
    if process.returncode not in SOUND:
        return Verdict(broken=f"pytest ended with {process.returncode}", output=output)
    return read(report, output)


def end(process):
    """Have it stop the servers it started, then make sure."""
    for number, within_s in ((signal.SIGINT, LEAVE_WITHIN_S), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=within_s)
            return


def read(report, output):
    """A test that fails is a verdict; one whose surroundings fail is none."""
    verdict = Verdict(output=output)
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
        verdict.ran += 1
        if (failure := case.find("failure")) is not None:
            verdict.failed[name] = failure.get("message", "")
        elif (error := case.find("error")) is not None:
            verdict.errors[name] = error.get("message", "")
    return verdict
