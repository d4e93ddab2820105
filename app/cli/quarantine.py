"""``lifeboat quarantine``: copies that nobody may act on before a person has looked."""

from collections.abc import Callable, Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console

from app.cli import http, lists
from app.cli.asking import confirm
from app.cli.options import Json, Yes
from app.cli.tables import at, table_of
from app.client import Client, Quarantined
from app.client.pages import Listed

Id = Annotated[str, typer.Argument(metavar="ID", help="As `quarantine ls` shows it.")]

quarantine = typer.Typer(
    no_args_is_help=True, help="Copies that nobody may act on before a person has looked."
)


@quarantine.command("ls")
def ls(
    context: typer.Context,
    limit: lists.Limit = lists.LIMIT,
    cursor: lists.Cursor = None,
    json: Json = False,
) -> None:
    """List what waits in the quarantine, newest first."""

    async def find(client: Client) -> lists.Found[Quarantined]:
        def listed(after: str | None, room: int | None) -> Listed[Quarantined]:
            return client.quarantined(cursor=after, limit=room)

        return await lists.found_in(listed, cursor, limit)

    lists.show(context, http.ask(find, json=json), _table, json=json)


@quarantine.command("show")
def show(id: Id, json: Json = False) -> None:
    """Show one copy, as far as it can be read."""

    async def find(client: Client) -> Quarantined | None:
        async for each in client.quarantined():
            if each.id == id:
                return each
        return None

    found = http.ask(find, json=json)
    if found is None:
        http.fail(
            f"The quarantine has no {id}: `lifeboat quarantine ls` shows what it has.", json=json
        )
    document = found.document()
    facts = (
        (name, value if isinstance(value, str) else orjson.dumps(value).decode())
        for name, value in document.items()
    )
    http.show(document, table_of(("member", "value"), facts, empty=""), json=json)


@quarantine.command("requeue")
def requeue(id: Id, json: Json = False) -> None:
    """Take a copy in after all, as the task it says it is."""
    receipt = http.ask(lambda client: client.requeue_quarantined(id), json=json)
    sentence = f"{receipt.task_id} {receipt.disposition}, {receipt.state}."
    http.show(receipt.document(), http.say(sentence), json=json)


def _table(found: Sequence[Quarantined]) -> Callable[[Console], None]:
    head = ("id", "reason", "queue", "task", "since")
    rows = ((each.id, each.reason, each.queue, each.task_id, at(each.at)) for each in found)
    return table_of(head, rows, empty="The quarantine is empty.")


@quarantine.command("discard")
def discard(id: Id, yes: Yes = False, json: Json = False) -> None:
    """Give a copy up."""
    confirm(f"Discard {id} for good?", yes=yes)
    copy = http.ask(lambda client: client.discard_quarantined(id), json=json)
    http.show(copy.document(), http.say(f"{id} is discarded."), json=json)
