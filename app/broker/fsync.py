"""Waiting until Redis has fsynced: one wait serves all that was written before it.

The append-only file is one sequence, so a write of any connection that is fsynced proves all before
it; WAITAOF alone would answer at once on a connection that has written nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.errors import DurabilityUnsupported

Touch = Callable[[Redis, str, str], Awaitable[Any]]


async def fsync_all(
    one: Redis, queues: Sequence[tuple[str, str]], touch: Touch, within_ms: int
) -> list[bool | None]:
    """Whether what was done in each (generation key, token) before this call is fsynced.

    ``one`` has a connection of its own. None: the queue has another generation by now.

    Raises:
        DurabilityUnsupported: this Redis cannot say.
    """
    stale: set[tuple[str, str]] = set()
    for queue in dict.fromkeys(queues):
        try:
            await touch(one, *queue)
        except ResponseError as error:
            if not str(error).startswith("STALE"):
                raise
            stale.add(queue)
    fsynced = await ask_fsynced(one, within_ms)
    return [None if queue in stale else fsynced for queue in queues]


async def ask_fsynced(one: Redis, within_ms: int) -> bool:
    """Whether what ``one`` wrote is fsynced within ``within_ms``, at least 1.

    Raises:
        DurabilityUnsupported: this Redis does not know, or keeps no append-only file.
    """
    try:
        local, _ = await one.waitaof(1, 0, within_ms)
    except ResponseError as error:
        text = str(error)
        if text.startswith("unknown command"):
            raise DurabilityUnsupported(
                "fsync needs Redis 7.2 or newer, and this one is older. Ask for mirrored or fast."
            ) from error
        if "appendonly is disabled" in text:
            raise DurabilityUnsupported(
                "fsync needs a Redis with an append-only file. Set appendonly yes there, or ask for"
                " mirrored or fast."
            ) from error
        raise
    return bool(local)
