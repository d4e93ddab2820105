"""``lifeboat queue``: look at queues, pause, unpause and clear them."""

from typing import Annotated

import typer

from app.cli import http
from app.cli.asking import confirm
from app.cli.coverage import coverage_view
from app.cli.options import Json, Yes
from app.cli.tables import queues_table
from app.client import Client, Queue
from app.name_options import queue_name

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue.", callback=queue_name)]

queue = typer.Typer(no_args_is_help=True, help="Look at queues, pause, unpause and clear them.")


@queue.command("ls")
def ls(json: Json = False) -> None:
    """List queues with their figures."""
    found = http.ask(Client.queues, json=json)
    http.show({"items": [each.document() for each in found]}, queues_table(found), json=json)


@queue.command("inspect")
def inspect(name: Name, json: Json = False) -> None:
    """Show one queue."""
    _show(http.ask(lambda client: client.queue(name), json=json), json=json)


@queue.command("coverage")
def coverage(
    name: Name,
    minutes: Annotated[int, typer.Option(min=1, max=1_440, help="Up to now.")] = 60,
    json: Json = False,
) -> None:
    """Show by the minute what was accepted and whether it has its copy."""
    found = http.ask(lambda client: client.coverage(name, minutes), json=json)
    http.show(found.document(), coverage_view(found), json=json)


@queue.command("pause")
def pause(name: Name, json: Json = False) -> None:
    """Let no task of a queue start; running ones finish, submits are taken."""
    _show(http.ask(lambda client: client.pause(name), json=json), json=json)


@queue.command("unpause")
def unpause(name: Name, json: Json = False) -> None:
    """Let a queue's tasks start again."""
    _show(http.ask(lambda client: client.unpause(name), json=json), json=json)


@queue.command("clear")
def clear(name: Name, yes: Yes = False, json: Json = False) -> None:
    """Cancel everything in a queue that does not run yet; it does not come back."""
    confirm(f"Cancel every waiting task of the queue {name}?", yes=yes)
    cancelled = http.ask(lambda client: client.clear(name), json=json)
    http.show({"cancelled": cancelled}, http.say(f"Cancelled: {cancelled:,}."), json=json)


def _show(found: Queue, *, json: bool) -> None:
    http.show(found.document(), queues_table([found]), json=json)
