"""Cursors: where a page of a list ended, as text that only we read. Pure.

The one home of their form, and of the refusal of what is none.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from app.errors import FieldProblem, InvalidTask

T = TypeVar("T")


def write_cursor(*place: str | int) -> str:
    """A place in a list as a cursor."""
    return urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def read_cursor(cursor: str) -> list[Any]:
    """The members of the place; whoever made it judges them.

    Raises:
        InvalidTask: it has not the form of a cursor.
    """
    try:
        place = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise no_cursor() from error
    if not isinstance(place, list):
        raise no_cursor()
    return place


def no_cursor() -> InvalidTask:
    """That a cursor is none of the list."""
    return InvalidTask(
        FieldProblem("?cursor", "Is no cursor of this list: take the one of its last answer.")
    )


def page_and_cursor(
    found: Sequence[T], limit: int, place: Callable[[T], tuple[str | int, ...]]
) -> tuple[list[T], str | None]:
    """The first ``limit`` of ``found``, and the next page's cursor where it is longer than that."""
    page = list(found[:limit])
    return page, write_cursor(*place(page[-1])) if len(found) > limit else None


def page_by_name(
    items: Sequence[T], name: Callable[[T], str], cursor: str | None, limit: int
) -> tuple[list[T], str | None]:
    """A page of items that are sorted by their names, and the next page's cursor.

    What comes or goes between two pages is neither skipped nor repeated.

    Raises:
        InvalidTask: the cursor is none of such a list.
    """
    after = "" if cursor is None else _name(cursor)
    ahead = [each for each in items if name(each) > after]
    return page_and_cursor(ahead, limit, lambda each: (name(each),))


def _name(cursor: str) -> str:
    place = read_cursor(cursor)
    if len(place) != 1 or not isinstance(place[0], str):
        raise no_cursor()
    return place[0]
