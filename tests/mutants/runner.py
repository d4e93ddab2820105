"""Plants mutants one at a time, each in a copy of its own, and sees whether they are caught."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from tests.mutants.mutant import DoesNotApply, Mutant
from tests.mutants.pytest_run import run_tests

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
    """Without any mutant tests fail: nothing that fails with one would mean anything."""


@contextmanager
def copy_of(snapshot, name):
    folder = snapshot.parent / name
    shutil.copytree(snapshot, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def control(snapshot, mutants, jobs):
    """Run every test that is named without any mutant; raises ``ControlFailed``."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    spread = ("-n", str(jobs), "--dist", "loadfile") if jobs > 1 and len(tests) > 1 else ()
    with copy_of(snapshot, "control") as folder:
        verdict = run_tests(folder, tests, *spread)
    if verdict.broken or verdict.failed or verdict.errors:
        tail = "\n".join(verdict.output.splitlines()[-TAIL:])
        why = verdict.broken or ", ".join([*verdict.failed, *verdict.errors])
        raise ControlFailed(f"{tail}\nWithout any mutant these fail: {why}. Mend them first.")
    return verdict.ran


def judge(snapshot, mutant):
    """Plant one mutant and run its tests, until the first that fails."""
    began = time.monotonic()

    def result(outcome, **more):
        return Result(mutant, outcome, seconds=time.monotonic() - began, **more)

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
        tail = "\n".join(verdict.output.splitlines()[-TAIL:])
        return result(BROKEN, because=f"{verdict.broken or verdict.errors}\n{tail}")
    return result(SURVIVED)


def judge_all(snapshot, mutants, jobs, told):
    """All of them, so many at a time; ``told`` hears of each result as it comes."""

    def one(mutant):
        result = judge(snapshot, mutant)
        told(result)
        return result

    pool = ThreadPoolExecutor(jobs)
    try:
        return list(pool.map(one, mutants))
    finally:
        # Whoever gives up waits for those under way: they stop the servers they started.
        pool.shutdown(cancel_futures=True)
