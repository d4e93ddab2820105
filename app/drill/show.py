"""A drill's outcome as a table for people."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROWS: Final = (
    ("submitted", "tasks the producers tried to submit"),
    ("accepted", "with a receipt that held what was asked"),
    ("refused", "last answered no"),
    ("unknown", "last not answered"),
    ("acceptedByRabbitmq", "while Redis was away, said so in the receipt"),
    ("executed", "whose effect the independent receiver saw"),
    ("lost", "accepted, neither executed nor recorded"),
    ("phantom", "executed or recorded, never submitted"),
    ("failedButRun", "run although every submit until then had been refused"),
    ("duplicateExecutions", "effects beyond the first of a task (at least once)"),
    ("duplicateResults", "recorded twice"),
    ("unearned", "recorded as ended otherwise than they can have"),
    ("altered", "arrived with another body than was submitted"),
    ("zombies", "effects that began after their task was recorded"),
    ("stuck", "accepted and executed, not recorded in the end"),
    ("restored", "brought back into Redis from RabbitMQ"),
    ("copiesLeft", "copies in RabbitMQ after everything settled"),
    ("openLeft", "tasks and journal entries in Redis then"),
    ("copiesMissing", "copies that left RabbitMQ before their tasks were finished, at least"),
    ("rpoTasks", "tasks without a confirmed copy when the fault came"),
    ("rpoSeconds", "age of the oldest of them"),
    ("rtoFirstSeconds", "from the fault to the first effect once it was over"),
    ("rtoAllSeconds", "from the fault to the last effect of work accepted before it"),
)


def show(document: dict[str, Any], console: Console) -> None:
    """Print the table and the verdict."""
    servers = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    title = f"{document['scenario']}, seed {document['seed']}, {document['durability']} ({servers})"
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("what it counts")
    for name, meaning in ROWS:
        table.add_row(name, figure(document[name]), meaning)
    console.print(table)
    for fault in document["faults"]:
        took = (fault["doneAt"] - fault["at"]) / 1000
        line = f"fault: {fault['name']} ({took:.1f} s), in flight: {flight(fault)}"
        console.print(line, soft_wrap=True)
    for task_id in document["lostTasks"]:
        console.print(f"lost: {task_id}")
    for sentence in document["why"]:
        console.print(sentence, soft_wrap=True)
    console.print(f"verdict: {document['verdict']}")


def figure(value: float | None) -> str:
    """A figure for people; ``-`` where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def flight(fault: Mapping[str, Any]) -> str:
    """What was under way when a fault came."""
    return ", ".join(f"{state} {count:,}" for state, count in fault["inFlight"].items())
