"""``lifeboat quarantine``: copies that nobody may act on before a person has looked."""

from typing import Annotated

import orjson
import typer

from app.cli import http
from app.cli.asking import confirm
from app.cli.options import Json, Yes
from app.cli.tables import at, table_of
from app.client import Client, Quarantined

Id = Annotated[str, typer.Argument(metavar="ID", help="As `quarantine ls` shows it.")]
Limit = Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")]

quarantine = typer.Typer(
    no_args_is_help=True, help="Copies that nobody may act on before a person has looked."
)


@quarantine.command("ls")
def ls(limit: Limit = 50, json: Json = False) -> None:
    """List what waits in the quarantine."""
    found = http.ask(lambda client: http.at_most(client.quarantined(), limit), json=json)
    rows = ((each.id, each.reason, each.queue, each.task_id, at(each.at)) for each in found)
    http.show(
        {"items": [each.document() for each in found]},
        table_of(
            ("id", "reason", "queue", "task", "since"), rows, empty="The quarantine is empty."
        ),
        json=json,
    )


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


@quarantine.command("discard")
def discard(id: Id, yes: Yes = False, json: Json = False) -> None:
    """Give a copy up."""
    confirm(f"Discard {id} for good?", yes=yes)
    copy = http.ask(lambda client: client.discard_quarantined(id), json=json)
    http.show(copy.document(), http.say(f"{id} is discarded."), json=json)
