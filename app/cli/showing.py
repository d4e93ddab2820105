"""How the commands of an operator show what they found."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

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


def refuse(sentence: str, *, json: bool) -> None:
    """Say why nothing was done."""
    sys.stderr.write(sentence + "\n")
    if json:
        sys.stdout.write(orjson.dumps({"error": sentence}).decode() + "\n")
