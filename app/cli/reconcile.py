"""``lifeboat reconcile``."""

import logging
import sys
from typing import Annotated

import typer
import uvloop
from rich.table import Table

from app import log
from app.cli.options import Adopt, Json, load_settings
from app.cli.showing import PARTIAL, errors_told, show
from app.name_options import queue_name
from rehydrator.care.findings import MEANINGS, Name
from rehydrator.care.reconcile import Reconciliation
from rehydrator.care.reconcile import reconcile as run_reconcile

Queue = Annotated[str | None, typer.Option(help="Only this queue.", callback=queue_name)]
Repair = Annotated[
    bool, typer.Option("--repair", help="Repair what stands; each finding has one repair.")
]


def reconcile(
    repair: Repair = False,
    queue: Queue = None,
    json: Json = False,
    adopt_ledger: Adopt = False,
) -> None:
    """Compare Redis, RabbitMQ and the ledger; name what they disagree about.

    A finding counts only if it stands in two looks some seconds apart. Exits 0 when none is left,
    20 when some are, 30 when a rehydrate or reconcile run is under way. Safe while producers and
    workers run.
    """
    log.setup("reconcile", logging.WARNING)

    def told(sentence: str) -> None:
        sys.stderr.write(sentence + "\n")

    with errors_told(json=json):
        settings = load_settings(adopt_ledger=adopt_ledger)
        found = uvloop.run(run_reconcile(settings, told, queue=queue, repair=repair))
    show(found.document(), _table(found), found.problems, json=json)
    if not found.complete:
        raise typer.Exit(PARTIAL)


def _table(found: Reconciliation) -> Table | str:
    if not found.found and not found.beyond:
        return "The stores agree." if not found.problems else "Not everything was compared."
    document = found.document()
    table = Table(title=f"Reconcile: {found.left} left", title_justify="left")
    for head in ("finding", "tasks", "repaired", "means", "repair", "for example"):
        table.add_column(head, overflow="fold")
    for name, count in document["counts"].items():
        meaning = MEANINGS[Name(name)]
        example = next(each.task_id for each in found.found if each.name == name)
        repaired = document["repaired"].get(name, 0)
        table.add_row(name, f"{count:,}", f"{repaired:,}", meaning.means, meaning.repair, example)
    return table
