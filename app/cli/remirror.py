"""``lifeboat remirror``."""

import logging
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app import log
from app.cli.options import Adopt, Json, Tenant, load_settings
from app.cli.showing import PARTIAL, errors_told, rows_of, show
from app.name_options import queue_name
from rehydrator.care.remirror import RemirrorReport
from rehydrator.care.remirror import remirror as run_remirror

Queue = Annotated[str | None, typer.Option(help="Only this queue.", callback=queue_name)]
Within = Annotated[
    float, typer.Option(min=1, help="Give up after so many seconds without a confirm.")
]
EXPLAINED = {
    "seen": "open, and without a confirmed copy since the run began",
    "journaled": "entries written into the journal",
    "confirmed": "have their copy",
    "finished": "ended meanwhile and need none",
    "left": "have no confirmed copy: run it again",
}


def remirror(
    queue: Queue = None,
    tenant: Tenant = None,
    within: Within = 60.0,
    json: Json = False,
    adopt_ledger: Adopt = False,
) -> None:
    """Publish every open task to RabbitMQ once more: its quorum queue was lost or replaced.

    Exits 0 when every open task has its confirmed copy, 20 when some are left. Safe to repeat, and
    while producers and workers run.
    """
    log.setup("remirror", logging.WARNING)
    columns = (TextColumn("Remirroring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with errors_told(json=json), Progress(*columns, console=Console(stderr=True)) as bar:
        settings = load_settings(adopt_ledger=adopt_ledger)
        copies = bar.add_task("copies", total=None)

        def told(report: RemirrorReport) -> None:
            done = report.confirmed + report.finished
            bar.update(copies, completed=done, total=report.seen)

        report = uvloop.run(
            run_remirror(settings, told, queue=queue, tenant=tenant, within_s=within)
        )
    document = report.document()
    counts = {name: document[name] for name in EXPLAINED}
    show(
        document,
        rows_of(f"Remirror: {document['state']}", counts, EXPLAINED),
        report.problems,
        json=json,
    )
    if not report.complete:
        raise typer.Exit(PARTIAL)
