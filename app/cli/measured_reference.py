"""The table of what failures were measured to cost, from the kept results of drills."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from app.cli.markdown import page, table
from app.drill.measure import LEVELS
from app.drill.scenarios import SCENARIOS

RESULTS: Final = Path(__file__).parents[2] / "docs/reference/drills"
HEAD: Final = (
    "Every figure here comes from a drill that was played: the files under `docs/reference/drills`"
    " are what `lifeboat drill --json` printed, and `make docs` writes this page from them."
    " `make guarantees` plays all of them again, a command of the tables plays one. What is"
    " promised, and the tests behind it, are in [guarantees](../explanation/guarantees.md)."
)
MEANING: Final = {
    "lost": "accepted tasks that were neither executed nor recorded as finished in the end.",
    "run again": (
        "effects beyond the first of a task. Execution is at least once; a task's name travels"
        " with each delivery as `Idempotency-Key`, so that a receiver can tell."
    ),
    "recorded twice": (
        "results beside another of the same run; the promise is none, at every level."
    ),
    "without a copy (RPO)": (
        "tasks that RabbitMQ had not confirmed, and the age of the oldest, as shown just before"
        " the fault. At `mirrored` none of these had its receipt yet; at `fast` they are what may"
        " be lost."
    ),
    "fault lasted": (
        "the first fault, from its beginning until what was taken was back: a server started again,"
        " an alarm taken off."
    ),
    "first effect (RTO)": (
        "from the beginning of the first fault to the first delivery once it was over, so never"
        " less than it lasted. Where Redis, the ledger and the worker are there, deliveries go on"
        " meanwhile."
    ),
    "all work done (RTO)": (
        "from the beginning of the fault to the last delivery of work accepted before it. Some of"
        " that work was due only up to 9 s later, or was to fail once or twice first."
    ),
}
FOOT: Final = (
    "Servers, Lifeboat, producers and receiver shared the cores of one machine: read the times for"
    " their order of magnitude. Of several results the worst is shown, and lost tasks are added up."
)
SAID: Final = {
    "mirrored": "A receipt came only once RabbitMQ had confirmed a copy, which is the default.",
    "fast": "A receipt came once the task was in Redis; its copy followed.",
}
SHOWN_MAX: Final = 3
"""Faults of one game that are named; the kept file has all."""
COLUMNS: Final = (
    "failure", "lost", "run again", "recorded twice", "without a copy (RPO)", "fault lasted",
    "first effect (RTO)", "all work done (RTO)", "shown by",
)  # fmt: skip


def measured_page() -> str:
    """Each failure at each durability level, then what was played."""
    return written(results(RESULTS))


def results(folder: Path) -> list[dict[str, Any]]:
    """Kept documents, by the scenarios' order, level, versions and seed."""
    found = [orjson.loads(file.read_bytes()) for file in sorted(folder.glob("*.json"))]
    order = list(SCENARIOS)
    return sorted(
        (each for each in found if each["scenario"] in SCENARIOS),
        key=lambda d: (order.index(d["scenario"]), d["durability"], _servers(d), d["seed"]),
    )


def written(documents: Sequence[Mapping[str, Any]]) -> str:
    """The page over these results."""
    tables = [
        f"## At `{level}`\n\n{SAID[level]}{_unmeasured(documents, level)}\n\n"
        + table(COLUMNS, _rows(documents, level))
        for level in LEVELS
    ]
    played = [
        (
            f"`{each['scenario']}`",
            f"`{each['durability']}`",
            f"{each['seed']}",
            f"{each['tasks']:,}",
            _faults(each["faults"]),
            each["verdict"],
            f"{_servers(each)}; {each['cores']} cores",
            f"{each['lifeboat']}, {datetime.fromtimestamp(each['startedAt'] / 1000, UTC):%Y-%m-%d}",
        )
        for each in documents
    ]
    head = (
        "scenario", "level", "seed", "tasks", "faults, with the work in flight", "verdict",
        "servers", "Lifeboat",
    )  # fmt: skip
    return page(
        "Measured guarantees",
        "`docs/reference/drills/` and `app/cli/measured_reference.py`",
        HEAD,
        "\n".join(f"- **{name}**: {text}" for name, text in MEANING.items()),
        FOOT,
        *tables,
        "## What was played\n\n" + table(head, played),
    )


def _rows(documents: Sequence[Mapping[str, Any]], level: str) -> list[tuple[str, ...]]:
    rows = []
    for name, scenario in SCENARIOS.items():
        story = scenario.story[:1].upper() + scenario.story[1:]
        if of_it := _of(documents, name, level):
            rows.append((story, *_figures(of_it)))
    return rows


def _unmeasured(documents: Sequence[Mapping[str, Any]], level: str) -> str:
    names = [f"`{name}`" for name in SCENARIOS if not _of(documents, name, level)]
    return f" Not measured: {', '.join(names)}." if names else ""


def _of(
    documents: Sequence[Mapping[str, Any]], scenario: str, level: str
) -> list[Mapping[str, Any]]:
    return [d for d in documents if (d["scenario"], d["durability"]) == (scenario, level)]


def _figures(documents: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    first = documents[0]

    def worst(name: str, show: Callable[[float], str]) -> str:
        known = [each[name] for each in documents if each[name] is not None]
        return show(max(known)) if known else "-"

    command = (
        f"`lifeboat drill --scenario {first['scenario']} --durability {first['durability']}"
        f" --tasks {first['tasks']} --seed {first['seed']}`"
    )
    accepted = sum(each["accepted"] for each in documents)
    return (
        f"{sum(each['lost'] for each in documents):,} of {accepted:,}",
        worst("duplicateExecutions", "{:,}".format),
        worst("duplicateResults", "{:,}".format),
        f"{worst('rpoTasks', '{:,} tasks'.format)}, {worst('rpoSeconds', _seconds)}",
        _seconds(max(_lasted(each["faults"][0]) for each in documents)),
        worst("rtoFirstSeconds", _seconds),
        worst("rtoAllSeconds", _seconds),
        command,
    )


def _lasted(fault: Mapping[str, Any]) -> float:
    return float(fault["doneAt"] - fault["at"]) / 1000


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def _faults(faults: Sequence[Mapping[str, Any]]) -> str:
    shown = [_fault(each) for each in faults[:SHOWN_MAX]]
    more = len(faults) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _fault(fault: Mapping[str, Any]) -> str:
    flight = ", ".join(f"{state} {count:,}" for state, count in fault["inFlight"].items())
    return f"{fault['name']} ({flight})"


def _servers(document: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in document["versions"].items())
