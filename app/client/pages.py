"""Lists with a cursor, as iterators."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Generic, Self, TypeVar

from app.client.transport import Call

PAGE_MAX: Final = 200

T = TypeVar("T")


class Listed(AsyncIterator[T], Generic[T]):
    """The items of a list, page by page as they are asked for.

    ``cursor``: where the list goes on behind the pages asked for so far, None at its end. With a
    limit the last page ends at it: once all items are taken, the list goes on from there.
    """

    def __init__(
        self,
        ask: Callable[[Call], Awaitable[Any]],
        path: str,
        query: Mapping[str, str],
        read: Callable[[Mapping[str, Any]], T],
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: at least 1, or None for all.")
        self.cursor = cursor
        self._ask = ask
        self._path = path
        self._query = query
        self._read = read
        self._room = limit
        self._page: list[T] = []
        self._has_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next item; asks for the next page where this one is used up."""
        while not self._page:
            if self._has_ended:
                raise StopAsyncIteration
            await self._turn()
        return self._page.pop()

    async def _turn(self) -> None:
        where = {} if self.cursor is None else {"cursor": self.cursor}
        size = {} if self._room is None else {"limit": str(min(self._room, PAGE_MAX))}
        answer = await self._ask(Call("GET", self._path, query={**self._query, **where, **size}))
        self._page = [self._read(item) for item in reversed(answer["items"])]
        self.cursor = answer.get("cursor")
        if self._room is not None:
            self._room -= len(self._page)
        self._has_ended = self.cursor is None or self._room == 0
