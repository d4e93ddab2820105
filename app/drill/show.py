"""A drill's outcome as a table for people."""

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
    ("phantom", "executed, never submitted"),
    ("duplicateExecutions", "effects beyond the first of a task (at least once)"),
    ("duplicateResults", "recorded twice"),
    ("restored", "brought back into Redis from RabbitMQ"),
    ("copiesLeft", "copies in RabbitMQ after everything settled"),
    ("rpoTasks", "tasks without a confirmed copy when the fault came"),
    ("rpoSeconds", "age of the oldest of them"),
    ("rtoFirstSeconds", "from the fault to the first effect after it"),
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
        value = document[name]
        shown = "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
        table.add_row(name, shown, meaning)
    console.print(table)
    for fault in document["faults"]:
        flight = ", ".join(f"{state} {count:,}" for state, count in fault["inFlight"].items())
        took = (fault["doneAt"] - fault["at"]) / 1000
        line = f"fault: {fault['name']} ({took:.1f} s), in flight: {flight}"
        console.print(line, soft_wrap=True)
    for task_id in document["lostTasks"]:
        console.print(f"lost: {task_id}")
    console.print(f"verdict: {document['verdict']}")
