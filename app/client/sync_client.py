"""``SyncClient``: the same methods for code without an event loop.

The calls run in a loop of the client's own, in a thread; any number of threads may use one client.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from app.client.client import Client
from app.client.pages import Listed

P = ParamSpec("P")
T = TypeVar("T")


def _sync(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["SyncClient", P], T]:
    @wraps(method)
    def call(self: "SyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self._client, *args, **kwargs))

    return call


def _iterated(
    method: Callable[Concatenate[Client, P], Listed[T]],
) -> Callable[Concatenate["SyncClient", P], "SyncListed[T]"]:
    @wraps(method)
    def call(self: "SyncClient", /, *args: P.args, **kwargs: P.kwargs) -> "SyncListed[T]":
        return SyncListed(self, method(self._client, *args, **kwargs))

    return call


class SyncListed(Iterator[T], Generic[T]):
    """``Listed`` without ``await``."""

    def __init__(self, client: "SyncClient", items: Listed[T]) -> None:
        self._client = client
        self._items = items

    def __next__(self) -> T:
        """The next item."""
        found = self._client._run(self._next())  # noqa: SLF001 - a part of it
        if found is None:
            raise StopIteration
        return found[0]

    @property
    def cursor(self) -> str | None:
        """Where the list goes on, see ``Listed``."""
        return self._items.cursor

    async def _next(self) -> tuple[T] | None:
        async for item in self._items:
            return (item,)
        return None


class SyncClient:
    """``Client`` without ``await``; takes the same arguments. Close it, or use it as a context."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._client = Client(*args, **kwargs)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="lifeboat-client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; a second time does nothing."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    submit = _sync(Client.submit)
    submit_many = _sync(Client.submit_many)
    get = _sync(Client.get)
    wait = _sync(Client.wait)
    cancel = _sync(Client.cancel)
    retry = _sync(Client.retry)
    resume = _sync(Client.resume)
    queues = _sync(Client.queues)
    queue = _sync(Client.queue)
    coverage = _sync(Client.coverage)
    canary = _sync(Client.canary)
    tasks = _iterated(Client.tasks)
    pause = _sync(Client.pause)
    unpause = _sync(Client.unpause)
    clear = _sync(Client.clear)
    dead = _iterated(Client.dead)
    suspended = _iterated(Client.suspended)
    retry_dead = _sync(Client.retry_dead)
    discard_dead = _sync(Client.discard_dead)
    resume_suspended = _sync(Client.resume_suspended)
    discard_suspended = _sync(Client.discard_suspended)
    quarantined = _iterated(Client.quarantined)
    requeue_quarantined = _sync(Client.requeue_quarantined)
    discard_quarantined = _sync(Client.discard_quarantined)
    workers = _sync(Client.workers)
    mirror = _sync(Client.mirror)
    try_now = _sync(Client.try_now)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C ends the wait; the call must not go on unseen.
            future.cancel()
            raise
