"""Pages of what is listed newest first by (time, id), and the places between them. Pure."""

from dataclasses import replace
from typing import Final, NamedTuple

from app.cursors import no_cursor, page_and_cursor, read_cursor, write_cursor
from app.ledger.records import LedgerRecord, Page, RecordQuery

LOOKED_AT: Final = 20_000
"""Records, about, that a search looks at where few of them may be wanted: it must end in time."""
AT_MS_MAX: Final = (1 << 63) - 1
"""Times are less: both stores hold 64 bits, also of one more."""


class Place(NamedTuple):
    """Where an item stands in the order; ``id``: a task's full name, a copy's or a run's id."""

    at_ms: int
    id: str


def unfiltered(query: RecordQuery) -> RecordQuery:
    """Whatever a search would look at: the same states and times, from its cursor's time on.

    Raises:
        InvalidTask: no cursor of ours.
    """
    after = place_of(query.cursor)
    # With no id all of that time was looked at: else many of one time would have no end.
    behind_ms = None if after is None else after.at_ms + bool(after.id)
    given = [each for each in (query.until_ms, behind_ms) if each is not None]
    until_ms = min(given, default=None)
    return RecordQuery(
        query.tenant,
        query.queue,
        query.states,
        since_ms=query.since_ms,
        until_ms=until_ms,
        limit=query.limit,
    )


def bounded(query: RecordQuery, end_ms: int | None) -> RecordQuery:
    """What a search looks at: all from ``end_ms`` on; None: everything."""
    return query if end_ms is None else replace(query, since_ms=end_ms)


def page_of(found: list[LedgerRecord], limit: int, end_ms: int | None) -> Page:
    """The first ``limit`` of ``found``, which is one longer where there is more.

    ``end_ms``: see ``bounded``.
    """
    items, cursor = page_and_cursor(found, limit, _place)
    if cursor is None and end_ms is not None:
        # No id comes before an empty one: what was at that very time was looked at.
        cursor = write_cursor(end_ms, "")
    return Page(items, cursor)


def place_of(cursor: str | None) -> Place | None:
    """The last record of the page before; None: there is none.

    Raises:
        InvalidTask: no cursor of ours.
    """
    if cursor is None:
        return None
    match read_cursor(cursor):
        # ``True`` would be a number to the stores as well.
        case [at_ms, str(name)] if type(at_ms) is int and 0 <= at_ms < AT_MS_MAX:
            return Place(at_ms, name)
        case _:
            raise no_cursor()


def _place(record: LedgerRecord) -> Place:
    assert record.finished is not None  # noqa: S101 - for the type checker; only those are found
    return Place(record.finished.at_ms, record.key.full)
