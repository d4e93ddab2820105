"""Lists that end at ``--limit``: their items, their cursor, and how a person sees the rest.

Over all queues a cursor is ``<queue>:<the cursor in that queue>``.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar

import typer
from rich.console import Console

from app.cli import http
from app.client import Client
from app.client.pages import Listed

Limit = Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")]
Cursor = Annotated[
    str | None, typer.Option(help="Go on where a list ended: the cursor that it gave.")
]
LIMIT: Final = 50

T = TypeVar("T")


class Shown(Protocol):
    """What has a document."""

    def document(self) -> dict[str, Any]:
        """As ``--json`` shows it."""


S = TypeVar("S", bound=Shown)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Some items of a list; ``cursor``: there are more, and they begin there."""

    items: list[T]
    cursor: str | None


async def found_in(
    listed: Callable[[str | None, int | None], Listed[T]], cursor: str | None, limit: int
) -> Found[T]:
    """Up to ``limit`` items of one list, 0: all. ``listed`` is given a cursor and a limit."""
    items = listed(cursor, limit or None)
    found = [item async for item in items]
    if items.cursor is None or await _is_empty(listed(items.cursor, 1)):
        return Found(found, None)
    return Found(found, items.cursor)


async def found_in_queues(
    client: Client,
    queue: str | None,
    listed: Callable[[str, str | None, int | None], Listed[T]],
    cursor: str | None,
    limit: int,
) -> Found[T]:
    """The same over one queue, or over all. ``listed`` is given a queue's name besides.

    Raises:
        typer.BadParameter: no cursor of the list over all queues.
    """
    if queue is not None:
        return await found_in(lambda *page: listed(queue, *page), cursor, limit)
    names = [each.queue for each in await client.queues()]
    names, inner = _behind(names, cursor)
    found: list[T] = []
    for place, name in enumerate(names):
        items = listed(name, inner, limit - len(found) if limit else None)
        found += [item async for item in items]
        inner = None
        if limit and len(found) == limit:
            here = [(name, items.cursor)] if items.cursor else []
            ahead = [*here, *((each, None) for each in names[place + 1 :])]
            return Found(found, await _first(listed, ahead))
    return Found(found, None)


def show(
    context: typer.Context,
    found: Found[S],
    people: Callable[[Sequence[S]], Callable[[Console], None]],
    *,
    json: bool,
) -> None:
    """The items and the cursor; people are told the command that goes on."""
    document = {"items": [each.document() for each in found.items], "cursor": found.cursor}
    http.show(document, people(found.items), json=json)
    if found.cursor is not None and not json:
        command = _going_on(context, found.cursor)
        http.show(document, http.say(f"There is more: `{command}` shows it."), json=json)


async def _first(
    listed: Callable[[str, str | None, int | None], Listed[Any]],
    places: Sequence[tuple[str, str | None]],
) -> str | None:
    """The first of the places that has an item, as a cursor."""
    for name, inner in places:
        if not await _is_empty(listed(name, inner, 1)):
            return f"{name}:{inner or ''}"
    return None


async def _is_empty(items: Listed[Any]) -> bool:
    async for _ in items:
        return False
    return True


def _behind(names: list[str], cursor: str | None) -> tuple[list[str], str | None]:
    if cursor is None:
        return names, None
    name, colon, inner = cursor.partition(":")
    if not colon or name not in names:
        raise typer.BadParameter(
            "This is no cursor of the list over all queues: take the one that it gave, or say"
            " --queue.",
            param_hint="--cursor",
        )
    return names[names.index(name) :], inner or None


def _going_on(context: typer.Context, cursor: str) -> str:
    """The command as it was typed, with another cursor."""
    words = [*context.command_path.split()[-2:]]
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name != "cursor":
            words += [parameter.opts[0], str(context.params[name])]
    return f"lifeboat {shlex.join([*words, '--cursor', cursor])}"
