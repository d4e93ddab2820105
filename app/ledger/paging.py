"""Pages of what is listed newest first by (time, id), and the places between them. Pure."""

from typing import NamedTuple

from app.cursors import no_cursor, read_cursor, write_cursor
from app.ledger.records import LedgerRecord, Page


class Place(NamedTuple):
    """Where an item stands in the order; ``id``: a task's full name, a copy's or a run's id."""

    at_ms: int
    id: str


def page_of(found: list[LedgerRecord], limit: int) -> Page:
    """The first ``limit`` of ``found``, which is one longer where there is more."""
    items = found[:limit]
    more = len(found) > limit
    return Page(items, write_cursor(*_place(items[-1])) if more and items else None)


def place_of(cursor: str | None) -> Place | None:
    """The last record of the page before; None: there is none.

    Raises:
        InvalidTask: no cursor of ours.
    """
    if cursor is None:
        return None
    match read_cursor(cursor):
        # Both stores hold 64 bits; ``True`` would be a number to them as well.
        case [at_ms, str(name)] if type(at_ms) is int and 0 <= at_ms < 1 << 63:
            return Place(at_ms, name)
        case _:
            raise no_cursor()


def _place(record: LedgerRecord) -> Place:
    assert record.finished is not None  # noqa: S101 - for the type checker; only those are found
    return Place(record.finished.at_ms, record.key.full)
