"""Lists with a cursor, as iterators."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from app.client.transport import Call

T = TypeVar("T")


async def items_of(
    ask: Callable[[Call], Awaitable[Any]],
    path: str,
    query: Mapping[str, str],
    read: Callable[[Mapping[str, Any]], T],
) -> AsyncIterator[T]:
    """Every item of a list, page by page as they are asked for."""
    cursor: dict[str, str] = {}
    while True:
        page = await ask(Call("GET", path, query={**query, **cursor}))
        for item in page["items"]:
            yield read(item)
        if not page.get("cursor"):
            return
        cursor = {"cursor": page["cursor"]}
