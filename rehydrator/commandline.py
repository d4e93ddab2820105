"""``lifeboat rehydrate`` and ``python -m rehydrator``: options in, progress and a report out.

stdout carries the report alone; progress and sentences go to stderr.
"""

import gc
import logging
import sys
from typing import Annotated, Final

import orjson
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import log, settings
from app.clock import now_ms
from app.errors import LifeboatError, RehydrationRunning, SettingsError
from app.name_options import queue_name, task_ids
from rehydrator.command import rehydrate
from rehydrator.report import REFUSED, Report, exit_code
from rehydrator.run import RunRequest
from rehydrator.since import moment_ms

FAILED: Final = 1
USAGE: Final = 2
GARBAGE: Final = 50_000
"""Objects made and not gone between two looks for cycles."""
EXPLAINED: Final = {
    "restored": "brought back into Redis",
    "present": "in Redis already",
    "finished": "recorded as over: the copy was let go",
    "cancelled": "recorded as cancelled: the copy was let go",
    "expired": "recorded as expired: the copy was let go",
    "quarantined": "unreadable or in conflict: kept in lifeboat.quarantine",
}


def rehydrate_command(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be done.")
    ] = False,
    queue: Annotated[str | None, typer.Option(help="Only this queue.", callback=queue_name)] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Only tasks of this tenant.", callback=queue_name)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only tasks accepted since then: 2h, 2026-01-31T12:00:00 or Unix ms."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; repeatable.", callback=task_ids)
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Restores per second at the most.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 10 where something was restored.")
    ] = False,
    adopt_ledger: Annotated[
        bool,
        typer.Option("--adopt-ledger", help="Accept a ledger Redis and the copies do not know."),
    ] = False,
) -> None:
    """Bring back into Redis what RabbitMQ holds and Redis lost.

    Exits 0 when all copies are accounted for, 20 when some could not be looked at, 30 when another
    run is under way, 1 when there is no such queue or a store is not the one it must be.
    """
    log.setup("rehydrate", logging.WARNING)
    try:
        request = RunRequest(
            dry_run=dry_run,
            queue=queue,
            tenant=tenant,
            since_ms=None if since is None else moment_ms(since, now_ms()),
            task_ids=frozenset(task or ()),
            rate=rate,
        )
    except ValueError as error:
        raise _stop(f"--since: {error}", USAGE, as_json=as_json) from error
    overrides = {"adopt_ledger": True} if adopt_ledger else {}
    try:
        report = _run(settings.load(**overrides), request)
    except SettingsError as error:
        raise _stop(str(error), USAGE, as_json=as_json) from error
    except RehydrationRunning as error:
        raise _stop(str(error), REFUSED, as_json=as_json) from error
    except LifeboatError as error:
        raise _stop(str(error), FAILED, as_json=as_json) from error
    if request.filtered and not report.seen and report.state == "complete":
        # A misspelt name must not look like work that was done.
        sys.stderr.write("No copy is what --tenant, --since and --task ask for.\n")
    _show(report, as_json=as_json)
    raise typer.Exit(exit_code(report, detailed=detailed_exitcode))


def _run(configured: settings.Settings, request: RunRequest) -> Report:
    columns = (TextColumn("Rehydrating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        looked = bar.add_task("copies", total=None)

        def on_progress(report: Report) -> None:
            bar.update(looked, completed=report.seen, total=report.total)

        _spare_the_collector()
        return uvloop.run(rehydrate(configured, request, on_progress))


def _spare_the_collector() -> None:
    """What a run makes goes by itself; looking for cycles in it was a tenth of its CPU."""
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 100)


def _show(report: Report, *, as_json: bool) -> None:
    for problem in report.problems:
        sys.stderr.write(problem + "\n")
    if as_json:
        sys.stdout.write(orjson.dumps(report.document()).decode() + "\n")
        return
    title = "Rehydrate (dry run: nothing was changed)" if report.dry_run else "Rehydrate"
    table = Table(title=f"{title}: {report.state}", title_justify="left")
    table.add_column("outcome")
    table.add_column("copies", justify="right")
    table.add_column("")
    for outcome, count in report.counts().items():
        table.add_row(outcome, f"{count:,}", EXPLAINED[outcome])
    table.add_section()
    table.add_row("seen", f"{report.seen:,}", f"of {report.total:,}")
    Console().print(table)


def _stop(sentence: str, code: int, *, as_json: bool) -> typer.Exit:
    sys.stderr.write(sentence + "\n")
    if as_json:
        sys.stdout.write(orjson.dumps({"error": sentence}).decode() + "\n")
    return typer.Exit(code)
