"""How ``lifeboat queue coverage`` looks for people."""

from collections.abc import Callable
from typing import Any, Final

from rich.console import Console

from app.cli.http import say
from app.cli.tables import at, table_of
from app.client import Coverage

COUNTS: Final = ("accepted", "mirrored", "retired", "waiting", "missing")


def coverage_view(found: Coverage) -> Callable[[Console], None]:
    """The minutes in which something happened, their sums, and what they say."""

    def counts_of(each: Any) -> tuple[int | None, ...]:
        return tuple(getattr(each, name) for name in COUNTS)

    def draw(console: Console) -> None:
        busy = [each for each in found.minutes if any(counts_of(each))]
        rows = [(at(each.at), *counts_of(each)) for each in busy]
        if rows:
            rows.append(("all", *counts_of(found)))
        head = ("minute", *COUNTS)
        empty = f"Nothing was accepted in {found.queue} in these minutes."
        table_of(head, rows, empty=empty)(console)
        for sentence in _sentences(found):
            say(sentence)(console)

    return draw


def _sentences(found: Coverage) -> list[str]:
    said = []
    if found.missing is None:
        said.append("Nothing is mirrored: LIFEBOAT_RABBITMQ_URL is not set. All has one copy.")
    elif not found.missing:
        on_the_way = f"; {found.waiting:,} are on their way" if found.waiting else ""
        said.append(f"Whatever should have its copy has it{on_the_way}.")
    if found.lost:
        said.append(
            f"{found.lost:,} have no confirmed copy and are not in the journal any more: nobody"
            f" will publish them. `lifeboat reconcile --queue {found.queue} --repair` journals"
            " again what is not finished."
        )
    if late := (found.missing or 0) - (found.lost or 0):
        said.append(
            f"{late:,} have waited for their copy for more than a minute: the mirror is late, or"
            " stands still. `lifeboat stats` shows who leads it, and whether RabbitMQ takes copies."
        )
    if found.since is not None and found.minutes and found.since > found.minutes[0].at:
        said.append(f"Counted since {at(found.since)}: Redis is new, or was lost then.")
    return said
