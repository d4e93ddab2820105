"""The connection to Redis: deadlines, no hidden retries, our errors, a fast no while it is away.

redis-py's own retries are off: they would repeat a call across a generation change (rule 1;
its default of ten retries duplicated a bare XADD whose reply was lost).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from app.broker.fsync import ask_fsynced, fsync_all
from app.broker.packing import PackedConnection
from app.clock import monotonic_ms
from app.errors import (
    DurabilityUnsupported,
    LedgerMismatch,
    StaleGeneration,
    Unavailable,
    reason_of,
)
from app.gather import Gatherer
from app.settings import Settings

Argument = str | int | bytes
MAX_CONNECTIONS = 32
AWAY_FOR_MS = 250
FSYNCS_MAX = 1_000
FSYNC_LANES = 4


@cache
def script_source(name: str) -> tuple[str, str]:
    """Source and SHA-1 of one verb, the prelude in front."""
    folder = files("app.broker") / "lua"
    source = (folder / "_prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
    return source, sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """A pool of connections and the scripts; safe to share by everything in one process."""

    def __init__(self, url: str, *, connect_timeout_ms: int, timeout_ms: int) -> None:
        self.url = url
        # A named class would win over the one that rediss:// and unix:// stand for.
        packed = {"connection_class": PackedConnection} if url.startswith("redis://") else {}
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_ms / 1000,
            socket_connect_timeout=connect_timeout_ms / 1000,
            socket_timeout=timeout_ms / 1000,
            retry=Retry(NoBackoff(), 0),
            client_name="lifeboat",
            # Else each connection asks for them first, in a round trip that fails.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **packed,
        )
        self.redis: Redis = Redis(connection_pool=pool)
        self._timeout_s = timeout_ms / 1000
        self._try_within_s = min(connect_timeout_ms, timeout_ms) / 1000
        self._away_because = ""
        self._away_until_ms = 0
        self._trying = False
        self._says_fsynced = False
        self._checking = asyncio.Lock()
        self._fsyncs = Gatherer(self._fsync_all, max_items=FSYNCS_MAX, lanes=FSYNC_LANES)

    @classmethod
    def from_settings(cls, settings: Settings) -> "RedisConnection":
        """The connection that ``LIFEBOAT_REDIS_URL`` names."""
        return cls(
            settings.redis_url,
            connect_timeout_ms=settings.redis_connect_timeout_ms,
            timeout_ms=settings.store_timeout_ms,
        )

    async def ping(self) -> None:
        """One round trip.

        Raises:
            Unavailable: Redis is away.
        """
        async with self._call():
            await self.redis.ping()

    async def script(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run one verb atomically. Replies hold bytes, ints and lists.

        Raises:
            StaleGeneration: Redis has another history than the caller's token.
            Unavailable: Redis is away, refuses writes or is too slow; it may have run.
        """
        async with self._call():
            return await _script(name, keys, arguments, self.redis)

    async def script_and(
        self,
        name: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        command: Sequence[Argument],
    ) -> tuple[Any, Any]:
        """Run one verb and then one plain command, atomically; both replies, as they came.

        For a large reply: through a script Redis copies it twice.

        Raises:
            StaleGeneration, Unavailable: see ``script``.
        """
        async with self._call():
            return await _script_and(name, keys, arguments, command, self.redis)

    async def script_fsynced(
        self, name: str, keys: Sequence[str], arguments: Sequence[Argument], within_ms: int
    ) -> tuple[Any, bool]:
        """Run one verb and wait until it, and all before it, is fsynced.

        Returns its reply, and whether the fsync was seen within ``within_ms`` of it.

        Raises:
            DurabilityUnsupported: this Redis cannot say so; nothing was run.
            StaleGeneration: Redis has another history than the caller's token.
            Unavailable: Redis is away, refuses writes or is too slow; it may have run.
        """
        await self.check_fsync()
        reply = await self.script(name, keys, arguments)
        try:
            return reply, await self._fsynced((keys[0], str(arguments[0])), within_ms)
        except StaleGeneration:
            raise
        except (DurabilityUnsupported, Unavailable):
            # It has run. What cannot be had any more, the next call is told before.
            self._says_fsynced = False
            return reply, False

    async def check_fsync(self) -> None:
        """Ask, once, whether this Redis can wait for an fsync.

        Raises:
            DurabilityUnsupported: it cannot.
            Unavailable: Redis is away.
        """
        async with self._checking:
            if not self._says_fsynced:
                async with self._call(), self.redis.client() as one:
                    await ask_fsynced(one, 1)
                self._says_fsynced = True

    async def _fsynced(self, queue: tuple[str, str], within_ms: int) -> bool:
        try:
            async with asyncio.timeout(within_ms / 1000):
                while (fsynced := await self._fsyncs.add(queue)) is False:
                    pass
        except TimeoutError:
            return False
        if fsynced is None:
            raise StaleGeneration
        return True

    async def _fsync_all(self, queues: Sequence[tuple[str, str]]) -> list[bool | None]:
        async with self._call(), self.redis.client() as one:
            return await fsync_all(one, queues, _touch, int(self._timeout_s * 500))

    async def wait_for_entries(self, cursors: dict[str, bytes | str], within_ms: int) -> bool:
        """Block until one of the streams has an entry behind its cursor.

        Returns whether one has. ``within_ms`` must be well below the socket's timeout.
        """
        async with self._call():
            found = await self.redis.xread(cursors, count=1, block=within_ms)  # type: ignore[arg-type]
        return bool(found)

    async def fields(self, key: str, *names: str) -> list[str | None]:
        """Fields of a hash, None where absent."""
        async with self._call():
            found: list[Any] = await self.redis.hmget(key, names)
        return [None if value is None else value.decode() for value in found]

    async def version(self) -> str:
        """The server's version, ``7.0.15``."""
        async with self._call():
            info: dict[str, Any] = await self.redis.info("server")
        return str(info["redis_version"])

    async def info(self) -> dict[str, Any]:
        """What the server says of itself, by Redis's own names."""
        async with self._call():
            found: dict[str, Any] = await self.redis.info()
        return found

    async def now_ms(self) -> int:
        """The server's clock, milliseconds UTC."""
        async with self._call():
            seconds, micros = await self.redis.time()
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def close(self) -> None:
        """Drop every connection."""
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        if self._away_because:
            await self._try_again()
        with self._translated():
            async with asyncio.timeout(self._timeout_s):
                yield

    async def _try_again(self) -> None:
        """Known to be away: one asks now and then, briefly, the others are told so at once.

        A Redis that is there and silent would else hold up every call for its whole deadline.
        """
        if self._trying or monotonic_ms() < self._away_until_ms:
            raise Unavailable("redis", self._away_because)
        self._trying = True
        try:
            with self._translated(), suppress(ResponseError):
                async with asyncio.timeout(self._try_within_s):
                    await self.redis.ping()
        finally:
            self._trying = False
        self._away_because = ""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        asked = _times_asked_to_stop()
        try:
            yield
            if _times_asked_to_stop() > asked:
                # redis-py sends through asyncio.wait_for, which in Python 3.11 swallows a
                # cancellation that comes together with the end of the send.
                raise asyncio.CancelledError
        except ResponseError as error:
            raise _refusal(error) from error
        # A RuntimeError is uvloop's word for a socket that was closed meanwhile.
        except (RedisError, OSError, RuntimeError, TimeoutError) as error:
            self._away_because = reason_of(error)
            self._away_until_ms = monotonic_ms() + AWAY_FOR_MS
            raise Unavailable("redis", self._away_because) from error


async def _script(
    name: str, keys: Sequence[str], arguments: Sequence[Argument], redis: Redis
) -> Any:
    source, digest = script_source(name)
    try:
        return await redis.evalsha(digest, len(keys), *keys, *arguments)
    except NoScriptError:
        return await redis.eval(source, len(keys), *keys, *arguments)


async def _script_and(
    name: str,
    keys: Sequence[str],
    arguments: Sequence[Argument],
    command: Sequence[Argument],
    redis: Redis,
) -> tuple[Any, Any]:
    source, digest = script_source(name)
    call = (len(keys), *keys, *arguments)
    answer, reply = await _together(redis, ("EVALSHA", digest, *call), command)
    if isinstance(answer, NoScriptError):
        answer, reply = await _together(redis, ("EVAL", source, *call), command)
    for each in (answer, reply):
        if isinstance(each, Exception):
            raise each
    return answer, reply


async def _together(redis: Redis, *commands: Sequence[Argument]) -> list[Any]:
    """Their replies; what failed is among them as an exception."""
    async with redis.pipeline(transaction=True) as transaction:
        # redis-py's own would make dictionaries of what its caller takes apart.
        transaction.response_callbacks = {}
        for command in commands:
            transaction.execute_command(*command)
        replies: list[Any] = await transaction.execute(raise_on_error=False)
    return replies


async def _touch(redis: Redis, generation: str, token: str) -> None:
    await _script("touch", [generation], [token], redis)


def _times_asked_to_stop() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _refusal(error: ResponseError) -> Exception:
    text = str(error)
    if text.startswith("STALE"):
        return StaleGeneration()
    if text.startswith("LEDGER"):
        return LedgerMismatch(
            f"Redis remembers another ledger ({text.split()[1]}) than the one configured. Point"
            " LIFEBOAT_MONGO_URL or LIFEBOAT_SQLITE_PATH at that ledger, or start with"
            " --adopt-ledger if this one shall take over."
        )
    # OOM, READONLY, MISCONF, NOPERM and the like: it answers, but takes no work.
    return Unavailable("redis", text)
