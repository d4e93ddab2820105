"""``lifeboat doctor``."""

import logging

import typer
import uvloop
from rich.table import Table
from rich.text import Text

from app import log
from app.cli.options import Json
from app.cli.showing import FAILED, errors_told, show
from app.settings import load
from rehydrator.care.checks import Check
from rehydrator.care.doctor import examine

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(json: Json = False) -> None:
    """Check what would lose data: settings of Redis, RabbitMQ and the ledger, versions, clocks.

    Exits 1 when a check fails; a warning alone is no failure.
    """
    log.setup("doctor", logging.ERROR)
    with errors_told(json=json):
        checks = uvloop.run(examine(load()))
    worst = "fail" if any(each.grade == "fail" for each in checks) else "ok"
    document = {"status": worst, "checks": [each.document() for each in checks]}
    show(document, _table(checks), (), json=json)
    if worst == "fail":
        raise typer.Exit(FAILED)


def _table(checks: list[Check]) -> Table:
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for check in checks:
        table.add_row(Text(check.grade, style=STYLES[check.grade]), check.name, check.sentence)
    return table
