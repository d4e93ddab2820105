"""Tables for people."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.client import Queue, Task
from app.client.results import Depth

MESSAGE_CHARS: Final = 60
SHORT: Final = {
    "scheduled": "sched",
    "running": "run",
    "retrying": "retry",
    "suspended": "susp",
}
"""States as heads of narrow columns."""
HAPPY: Final = frozenset({"succeeded"})
SAD: Final = frozenset({"dead", "suspended", "expired"})


def table_of(
    head: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, title: str | None = None
) -> Callable[[Console], None]:
    """A table, or the sentence ``empty``; numbers stand right, None is a dash."""
    lines = [tuple(row) for row in rows]

    def draw(console: Console) -> None:
        if not lines:
            console.print(empty, markup=False)
            return
        # Without lines between columns fourteen of them fit eighty characters.
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
        for index, name in enumerate(head):
            numbers = all(isinstance(line[index], int | float | None) for line in lines)
            table.add_column(
                name,
                justify="right" if numbers else "left",
                overflow="fold",
                no_wrap=index == 0,
                style="bold" if index == 0 else "",
            )
        for line in lines:
            table.add_row(*(cell(each) for each in line))
        console.print(table)

    return draw


def cell(value: Any) -> Text:
    """One value; never read as markup."""
    if value is None:
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int):
        return Text(f"{value:,}")
    if isinstance(value, float):
        return Text(f"{value:,.1f}")
    text = str(value)
    style = "green" if text in HAPPY else "red" if text in SAD else ""
    return Text(text, style=style)


def at(moment_ms: int | None) -> str | None:
    """UTC to the second."""
    if moment_ms is None:
        return None
    return datetime.fromtimestamp(moment_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def tasks_table(tasks: Iterable[Task], empty: str) -> Callable[[Console], None]:
    """Tasks, one a row."""
    return table_of(
        ("task", "queue", "type", "state", "run", "attempt", "accepted", "error"),
        (
            (
                each.task_id,
                each.queue,
                each.type,
                each.state.value,
                each.run,
                f"{each.attempt}/{each.max_attempts}",
                at(each.accepted_at),
                _short(each),
            )
            for each in tasks
        ),
        empty=empty,
    )


def task_view(task: Task) -> Callable[[Console], None]:
    """Everything about one task."""

    def draw(console: Console) -> None:
        facts = Table(show_header=False, box=None)
        for name, value in _facts(task):
            if value is not None:
                facts.add_row(Text(name, style="dim"), cell(value))
        console.print(facts)
        if task.attempts:
            attempts = (
                (
                    f"{each.run}.{each.attempt}",
                    each.outcome,
                    at(each.started_at),
                    (each.finished_at - each.started_at) / 1_000,
                    each.worker,
                    each.error and f"{each.error.type}: {each.error.message}",
                )
                for each in task.attempts
            )
            head = ("attempt", "outcome", "started", "seconds", "worker", "error")
            table_of(head, attempts, empty="")(console)

    return draw


def queues_table(queues: Iterable[Queue]) -> Callable[[Console], None]:
    """Queues, one a row."""
    states = tuple(Depth.model_fields)
    figures = ("oldest", "in/s", "out/s", "rpo", "copies", "wrk", "paused")
    return table_of(
        ("queue", *(SHORT.get(state, state) for state in states), *figures),
        (
            (
                each.queue,
                *(getattr(each.depth, state) for state in states),
                each.oldest_queued_seconds,
                each.accepted_per_second,
                each.settled_per_second,
                each.unmirrored_tasks,
                each.copies,
                each.workers,
                each.paused,
            )
            for each in queues
        ),
        empty="There is no queue yet: the first submit makes one.",
    )


def _facts(task: Task) -> list[tuple[str, Any]]:
    error = task.error and f"{task.error.type}: {task.error.message}"
    progress = task.progress and " ".join(
        str(each) for each in (task.progress.fraction, task.progress.text) if each is not None
    )
    return [
        ("task", task.task_id),
        ("queue", f"{task.tenant}/{task.queue}"),
        ("type", task.type),
        ("state", task.state.value),
        ("run", task.run),
        ("attempt", f"{task.attempt} of {task.max_attempts}"),
        ("durability", task.durability),
        ("accepted", at(task.accepted_at)),
        ("started", at(task.started_at)),
        ("finished", at(task.finished_at)),
        ("next attempt", at(task.next_attempt_at)),
        ("progress", progress),
        ("error", error),
        ("context", _json(task.context)),
        ("payload", _json(task.payload)),
        ("result", None if task.result is None else _json(task.result)),
    ]


def _short(task: Task) -> str | None:
    if task.error is None:
        return None
    text = f"{task.error.type}: {task.error.message}"
    return text if len(text) <= MESSAGE_CHARS else text[: MESSAGE_CHARS - 1] + "…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
