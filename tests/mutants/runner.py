"""Plants mutants one at a time, each in a copy of its own, and sees whether they are caught."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from tests.mutants.mutant import DoesNotApply, Mutant
from tests.mutants.pytest_run import CONTROL_WITHIN_S, run_tests

KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
TAIL = 40


@dataclass(frozen=True)
class Result:
    """What became of one mutant. ``because`` is what the test said that failed."""

    mutant: Mutant
    outcome: str
    killed_by: str = ""
    because: str = ""
    seconds: float = 0.0

    def document(self):
        shown = {name: asdict(self.mutant)[name] for name in ("name", "rule", "file")}
        return shown | {
            "outcome": self.outcome,
            "killedBy": self.killed_by,
            "because": self.because,
            "seconds": round(self.seconds, 1),
        }


class ControlFailed(Exception):
    """The tests cannot be run at all, without any mutant."""


@contextmanager
def copy_of(snapshot, name):
    folder = snapshot.parent / name
    shutil.copytree(snapshot, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def control(snapshot, mutants, jobs):
    """Run every test that is named without any mutant: how many, and those that fail twice."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    spread = ("-n", str(jobs), "--dist", "loadfile") if jobs > 1 and len(tests) > 1 else ()
    with copy_of(snapshot, "control") as folder:
        first = second = sound(run_tests(folder, tests, *spread, within_s=CONTROL_WITHIN_S))
        if failing := [*first.failed, *first.errors]:
            second = sound(run_tests(folder, failing))
    return first.ran, second.failed | second.errors


def sound(verdict):
    if verdict.broken:
        raise ControlFailed(f"{tail(verdict)}\nWithout any mutant: {verdict.broken}.")
    return verdict


def tail(verdict):
    return "\n".join(verdict.output.splitlines()[-TAIL:])


def fails_anyway(mutant, failing):
    """Why nothing that fails with this mutant would mean anything; empty: it would."""
    for node, said in failing.items():
        if any(node == test or node.startswith(f"{test}[") for test in mutant.tests):
            return f"Without any mutant {node} fails too ({said}): mend it first."
    return ""


def judge(snapshot, mutant, failing):
    """Plant one mutant and run its tests, until the first that fails.

    ``failing``: what fails without it.
    """
    began = time.monotonic()

    def result(outcome, **more):
        return Result(mutant, outcome, seconds=time.monotonic() - began, **more)

    if why := fails_anyway(mutant, failing):
        return result(BROKEN, because=why)
    with copy_of(snapshot, mutant.name) as folder:
        try:
            mutant.plant(folder)
        except DoesNotApply as error:
            return result(BROKEN, because=str(error))
        verdict = run_tests(folder, mutant.tests, "-x")
    if verdict.failed:
        (test, because), *_ = verdict.failed.items()
        return result(KILLED, killed_by=test, because=because)
    if verdict.broken or verdict.errors:
        return result(BROKEN, because=f"{verdict.broken or verdict.errors}\n{tail(verdict)}")
    return result(SURVIVED)


def judge_all(snapshot, mutants, jobs, failing, told):
    """All of them, so many at a time; ``told`` hears of each result as it comes."""

    def one(mutant):
        result = judge(snapshot, mutant, failing)
        told(result)
        return result

    pool = ThreadPoolExecutor(jobs)
    try:
        return list(pool.map(one, mutants))
    finally:
        # Whoever gives up waits for those under way: they stop the servers they started.
        pool.shutdown(cancel_futures=True)
