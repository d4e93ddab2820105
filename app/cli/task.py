"""``lifeboat task``: submit tasks, look at them, act on them."""

from typing import Annotated, Final, Literal

import typer

from app.cli import http, lists
from app.cli.asking import confirm
from app.cli.options import Json, Yes
from app.cli.tables import task_view, tasks_table
from app.cli.values import json_object, moment_ms, span_s
from app.client import Client, Receipt, Task
from app.client.pages import Listed
from app.clock import now_ms
from app.name_options import idempotency_key, queue_name, task_id, type_name
from app.state import TaskState

Priority = Literal["high", "normal", "low"]
Level = Literal["fast", "fsync", "mirrored"]
OnDegraded = Literal["accept", "refuse"]

Id = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task's id.", callback=task_id)]
Where = Annotated[
    str | None,
    typer.Option("--queue", help="Its queue; unset: looked for in all.", callback=queue_name),
]
Payload = Annotated[
    str, typer.Argument(metavar="PAYLOAD", help="A JSON object, @FILE, or - for stdin.")
]
NewPayload = Annotated[
    str | None, typer.Option("--payload", help="Another payload: a JSON object, @FILE, or -.")
]
SPAN: Final = "; 90s, 5m, 2h or 1d."
MOMENT: Final = "; 2026-01-31T12:00:00, Unix ms, or a span from now."

task = typer.Typer(no_args_is_help=True, help="Submit tasks, look at them, act on them.")


@task.command("add")
def add(
    type: Annotated[
        str,
        typer.Argument(metavar="TYPE", help="For instance http.deliver.", callback=type_name),
    ],
    payload: Payload = "{}",
    id: Annotated[
        str | None,
        typer.Option(help="The task's id; makes a repeat safe.", callback=task_id),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Idempotency key, instead of an id.", callback=idempotency_key),
    ] = None,
    queue: Annotated[str, typer.Option(help="Where it goes.", callback=queue_name)] = "default",
    priority: Annotated[Priority, typer.Option(help="Who goes first.")] = "normal",
    delay: Annotated[str | None, typer.Option(help="Earliest start" + SPAN)] = None,
    not_before: Annotated[str | None, typer.Option(help="Earliest start" + MOMENT)] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="Not started from then on" + MOMENT)
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="Limit for one attempt" + SPAN)] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=100, help="Tries at most.")] = None,
    user: Annotated[str | None, typer.Option(help="On whose behalf.")] = None,
    durability: Annotated[Level | None, typer.Option(help="Wait for this level.")] = None,
    on_degraded: Annotated[OnDegraded | None, typer.Option(help="If it is not reached.")] = None,
    wait: Annotated[str | None, typer.Option(help="Wait for its end" + SPAN)] = None,
    json: Json = False,
) -> None:
    """Submit a task; with --wait, exits like `task wait`."""
    body = json_object(payload, "PAYLOAD") or {}
    wait_s = span_s(wait, "--wait")
    moment = now_ms()

    async def submit(client: Client) -> Receipt:
        return await client.submit(
            type,
            body,
            task_id=id,
            idempotency_key=key,
            queue=queue,
            priority=None if priority == "normal" else priority,
            delay=span_s(delay, "--delay"),
            not_before=moment_ms(not_before, "--not-before", now_ms=moment),
            expires_at=moment_ms(expires_at, "--expires-at", now_ms=moment),
            timeout=span_s(timeout, "--timeout"),
            retry=None if max_attempts is None else {"max_attempts": max_attempts},
            context={"channel": "cli", "user": user},
            durability=durability,
            on_degraded=on_degraded,
        )

    receipt = http.ask(
        submit,
        json=json,
        unknown="It may have been accepted: `--id {task_id}` makes the repeat safe.",
    )
    if wait_s is not None:
        _wait_for(receipt.task_id, receipt.queue, wait_s, json=json)
        return
    reached = f"{receipt.durability.reached}{', degraded' if receipt.degraded else ''}"
    http.show(
        receipt.document(),
        http.say(f"{receipt.task_id} {receipt.disposition}, {receipt.state}, {reached}"),
        json=json,
    )


@task.command("ls")
def ls(
    context: typer.Context,
    queue: Annotated[
        str | None, typer.Option(help="Only this queue; unset: all.", callback=queue_name)
    ] = None,
    state: Annotated[TaskState | None, typer.Option(help="Only these; unset: all.")] = None,
    type: Annotated[str | None, typer.Option(help="Only this type.", callback=type_name)] = None,
    limit: lists.Limit = lists.LIMIT,
    cursor: lists.Cursor = None,
    json: Json = False,
) -> None:
    """List tasks, the open ones first."""

    async def find(client: Client) -> lists.Found[Task]:
        def listed(name: str, after: str | None, room: int | None) -> Listed[Task]:
            return client.tasks(name, state=state, type=type, cursor=after, limit=room)

        return await lists.found_in_queues(client, queue, listed, cursor, limit)

    found = http.ask(find, json=json)
    lists.show(
        context, found, lambda items: tasks_table(items, "There is no such task."), json=json
    )


@task.command("get")
def get(task_id: Id, queue: Where = None, json: Json = False) -> None:
    """Show a task, with all its attempts."""
    _show(http.ask(lambda client: client.get(task_id, queue=queue), json=json), json=json)


@task.command("wait")
def wait(
    task_id: Id,
    queue: Where = None,
    timeout: Annotated[str, typer.Option(help="How long" + SPAN)] = "60s",
    json: Json = False,
) -> None:
    """Wait until a task's run is over.

    Exits 0 when it succeeded, 1 when it ended otherwise, 3 when it was still open after --timeout.
    """
    _wait_for(task_id, queue, span_s(timeout, "--timeout") or 0, json=json)


@task.command("cancel")
def cancel(task_id: Id, queue: Where = None, yes: Yes = False, json: Json = False) -> None:
    """Cancel a task that is not over; a running one is told to stop."""
    confirm(f"Cancel {task_id}?", yes=yes)
    found = http.ask(lambda client: client.cancel(task_id, queue=queue), json=json)
    _say_state(found, json=json)


@task.command("retry")
def retry(task_id: Id, queue: Where = None, payload: NewPayload = None, json: Json = False) -> None:
    """Run a dead task again."""
    body = json_object(payload, "--payload")
    found = http.ask(lambda client: client.retry(task_id, queue=queue, payload=body), json=json)
    _say_state(found, json=json)


def _wait_for(task_id: str, queue: str | None, timeout_s: float, *, json: bool) -> None:
    found = http.ask(lambda client: client.wait(task_id, timeout_s, queue=queue), json=json)
    _show(found, json=json)
    if not found.succeeded:
        raise typer.Exit(http.FAILED)


def _show(found: Task, *, json: bool) -> None:
    http.show(found.document(), task_view(found), json=json)


def _say_state(found: Task, *, json: bool) -> None:
    sentence = f"{found.task_id} is {found.state} (run {found.run})."
    http.show(found.document(), http.say(sentence), json=json)
