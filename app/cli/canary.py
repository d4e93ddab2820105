"""``lifeboat canary``: one harmless task round the whole ring, leg by leg."""

from typing import Annotated, Final

import typer
from rich.console import Console

from app.cli import http
from app.cli.options import Json
from app.cli.tables import table_of
from app.cli.values import span_s
from app.client.canary import Flight, fly
from app.name_options import queue_name

MEANINGS: Final = {
    "accepted": "Redis has the task",
    "mirrored": "RabbitMQ has confirmed its copy",
    "finished": "a worker ran it, the ledger has its end",
    "retired": "the rehydrator let its copy go",
}


def canary(
    queue: Annotated[
        str, typer.Option(help="Through which queue.", callback=queue_name)
    ] = "default",
    timeout: Annotated[str, typer.Option(help="How long it may take; 90s, 5m.")] = "15s",
    json: Json = False,
) -> None:
    """Send a task that does nothing all the way round, and say where it stopped.

    Exits 0 when it came round, 1 when it did not.
    """
    within_s = span_s(timeout, "--timeout")
    if not within_s:
        raise typer.BadParameter("A canary needs time: more than 0.", param_hint="--timeout")
    flight = http.ask(lambda client: fly(client, queue, within_s), json=json)
    http.show(flight.document(), lambda console: _draw(flight, console), json=json)
    if flight.missing:
        raise typer.Exit(http.FAILED)


def _draw(flight: Flight, console: Console) -> None:
    rows = [
        (leg, "ok" if flight.legs[leg] is not None else "missing", flight.legs[leg], means)
        for leg, means in MEANINGS.items()
    ]
    table_of(("leg", "", "ms", "which means"), rows, empty="")(console)
    if flight.missing is None:
        http.say(f"All the way round through {flight.queue}; ms since the submit.")(console)
    else:
        http.say(f"It was not {flight.missing}. {flight.next}")(console)
