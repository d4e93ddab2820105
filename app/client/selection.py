"""Which parked tasks are meant: filters of a list, and the selection of an action. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, Unpack

from app.client.new_task import Moment, moment_ms

IDS_MAX: Final = 1_000


class Filters(TypedDict, total=False):
    """What a task must match; left out or None: anything.

    ``error``: the type of its last error. ``since`` and ``until``: when its run ended.
    """

    type: str | None
    error: str | None
    channel: str | None
    user: str | None
    chat_id: str | int | None
    since: Moment | None
    until: Moment | None


class Selection(TypedDict, total=False):
    """Exactly one of: these tasks, those that match, all of them."""

    ids: Sequence[str]
    filter: Filters
    all: bool


def filter_members(**filters: Unpack[Filters]) -> dict[str, Any]:
    """Filters as the API names them.

    Raises:
        ValueError: a datetime has no time zone.
    """
    members = {
        "type": filters.get("type"),
        "error": filters.get("error"),
        "channel": filters.get("channel"),
        "user": filters.get("user"),
        "chatId": filters.get("chat_id"),
        "since": moment_ms(filters.get("since")),
        "until": moment_ms(filters.get("until")),
    }
    return {name: value for name, value in members.items() if value is not None}


def query_of(members: Mapping[str, Any]) -> dict[str, str]:
    """Members as a query; None is left out."""
    return {name: str(value) for name, value in members.items() if value is not None}


def selections(**selection: Unpack[Selection]) -> list[dict[str, Any]]:
    """A selection as the API takes it: many ids need several calls.

    Raises:
        ValueError: not exactly one of ids, filter and all is given.
    """
    ids, wanted = selection.get("ids"), selection.get("filter")
    every = selection.get("all", False)
    if [ids is not None, wanted is not None, every].count(True) != 1:
        raise ValueError("Give exactly one of ids, filter and all=True.")
    if ids is not None:
        some = list(ids)
        return [{"ids": some[at : at + IDS_MAX]} for at in range(0, len(some), IDS_MAX)]
    return [{"filter": filter_members(**wanted)} if wanted is not None else {"all": True}]
