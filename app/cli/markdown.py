"""Markdown that generated pages are made of."""

from collections.abc import Iterable, Sequence


def page(title: str, source: str, *blocks: str) -> str:
    """A page that says where it comes from."""
    note = f"<!-- Written by `make docs` from {source}. Do not edit. -->"
    return "\n\n".join((f"# {title}", note, *blocks)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks in cells become spaces."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(each) for each in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
