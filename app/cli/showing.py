"""How the commands of an operator show what they found."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from app.errors import LifeboatError, RehydrationRunning, SettingsError

FAILED: Final = 1
USAGE: Final = 2
PARTIAL: Final = 20
REFUSED: Final = 30


def rows_of(title: str, counts: Mapping[str, int], explained: Mapping[str, str]) -> Table:
    """Counts by name, each with what it means."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", explained[name])
    return table


def show(document: Any, people: Table | str, problems: Iterable[str], *, json: bool) -> None:
    """Sentences to stderr; the document, or what people get instead, to stdout."""
    for problem in problems:
        sys.stderr.write(problem + "\n")
    if json:
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        Console(highlight=False).print(people)


@contextmanager
def errors_told(*, json: bool) -> Iterator[None]:
    """Errors as a sentence on stderr, and with ``--json`` as a document; the exit code says which.

    1 failed, 2 settings, 30 refused: a run of its kind is under way.
    """
    try:
        yield
    except LifeboatError as error:
        sys.stderr.write(f"{error}\n")
        if json:
            sys.stdout.write(orjson.dumps({"error": str(error)}).decode() + "\n")
        raise typer.Exit(_code(error)) from error


def _code(error: LifeboatError) -> int:
    if isinstance(error, RehydrationRunning):
        return REFUSED
    return USAGE if isinstance(error, SettingsError) else FAILED
