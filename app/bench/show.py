"""Rows as a table for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from app.bench.measure import Row


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table()
    table.add_column("bench")
    for heading in ("rate", "reference", "ratio"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    table.add_column("the reference is")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.rate:,.0f}",
            f"{row.reference:,.0f}",
            f"{row.rate / row.reference:.2f}",
            row.unit,
            row.reference_name,
        )
    console.print(table)
