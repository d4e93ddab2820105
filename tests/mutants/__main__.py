"""``make mutants``: what the tests are worth. Exit 0 when every mutant is killed, else 1."""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from tests.mutants.planted import named
from tests.mutants.runner import BROKEN, KILLED, ControlFailed, control, judge_all
from tests.mutants.tree import snapshot

OUT = Console(soft_wrap=True)
PROGRESS = Console(stderr=True, soft_wrap=True, highlight=False)


def arguments():
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", default=[])
    parser.add_argument("--list", action="store_true", help="only name them")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--commit", help="mutate what this commit has, not what lies here")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    return parser.parse_args()


def tell(result):
    PROGRESS.print(f"{result.outcome:8} {result.seconds:5.1f} s  {result.mutant.name}")
    if result.outcome == BROKEN:
        PROGRESS.print(result.because, markup=False)


def show(results, seconds):
    table = Table("mutant", "rule", "outcome", Column("by", overflow="fold"), "seconds", box=None)
    for each in results:
        table.add_row(
            each.mutant.name,
            each.mutant.rule,
            each.outcome,
            each.killed_by.rpartition("/")[2],
            f"{each.seconds:.1f}",
        )
    OUT.print(table, soft_wrap=False)
    killed = sum(each.outcome == KILLED for each in results)
    OUT.print(f"{killed}/{len(results)} killed in {seconds:.0f} s", highlight=False)


def show_json(results, seconds):
    document = {
        "planted": len(results),
        "killed": sum(each.outcome == KILLED for each in results),
        "seconds": round(seconds),
        "mutants": [each.document() for each in results],
    }
    OUT.print(json.dumps(document, indent=2), markup=False, highlight=False)


def run(chosen, given):
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lifeboat-mutants-") as name:
        tree = Path(name) / "tree"
        snapshot(tree, given.commit)
        ran, failing = control(tree, chosen, given.jobs)
        PROGRESS.print(f"Without any mutant {ran - len(failing)} of {ran} tests pass.")
        results = judge_all(tree, chosen, given.jobs, failing, tell)
    (show_json if given.json else show)(results, time.monotonic() - began)
    return 0 if all(each.outcome == KILLED for each in results) else 1


def main():
    given = arguments()
    try:
        chosen = named(given.only)
    except KeyError as missing:
        PROGRESS.print(f"There is no mutant {missing}; --list names them.")
        return 2
    if given.list:
        for mutant in chosen:
            OUT.print(f"{mutant.name}  ({mutant.rule}, {mutant.file})", highlight=False)
        return 0
    # As Ctrl-C: nothing is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(chosen, given)
    except KeyboardInterrupt:
        return 130
    except ControlFailed as failed:
        PROGRESS.print(str(failed), markup=False)
        return 1


if __name__ == "__main__":
    sys.exit(main())
