"""Pages of a search, newest first by (finished.at, id), and the cursors between them. Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import orjson

from app.errors import FieldProblem, InvalidTask
from app.ledger.records import LedgerRecord, Page


class Place(NamedTuple):
    """Where an item stands in the order; ``id`` is a task's full name or a copy's id."""

    at_ms: int
    id: str


def page_of(found: list[LedgerRecord], limit: int) -> Page:
    """The first ``limit`` of ``found``, which is one longer where there is more."""
    items = found[:limit]
    more = len(found) > limit
    return Page(items, cursor_of(_place(items[-1])) if more and items else None)


def place_of(cursor: str | None) -> Place | None:
    """The last record of the page before; None: there is none.

    Raises:
        InvalidTask: no cursor of ours.
    """
    if cursor is None:
        return None
    try:
        at_ms, name = orjson.loads(urlsafe_b64decode(cursor))
    except (ValueError, TypeError):
        at_ms, name = None, None
    # Both stores hold 64 bits; ``True`` would be a number to them as well.
    if type(at_ms) is int and isinstance(name, str) and 0 <= at_ms < 1 << 63:
        return Place(at_ms, name)
    raise InvalidTask(
        FieldProblem("?cursor", "is no cursor of this list: take the one of its last answer.")
    )


def cursor_of(place: Place) -> str:
    """The cursor behind which the next page begins."""
    return urlsafe_b64encode(orjson.dumps([*place])).decode()


def _place(record: LedgerRecord) -> Place:
    assert record.finished is not None  # noqa: S101 - for the type checker; only those are found
    return Place(record.finished.at_ms, record.key.full)
