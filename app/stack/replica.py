"""A Redis that follows another, and can take its place at its address."""

from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.stack.process import StackError, free_port, until
from app.stack.servers import RedisServer

SYNCED_WITHIN_MS: Final = 30_000
NO_ONE: Final = ("NO", "ONE")


class RedisReplica(RedisServer):
    """The replica of ``primary``."""

    name = "replica"

    def __init__(self, folder: Path, primary: RedisServer, *, detached: bool = False) -> None:
        super().__init__(folder, detached=detached)
        self._primary = primary

    async def follow(self) -> None:
        """Become the replica, and wait until it has what the primary has.

        Raises:
            TimeoutError: it does not in time.
        """
        # By default it waits 5 s for other replicas to serve with the same snapshot.
        await _command(self._primary, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
        await _command(self, "REPLICAOF", "127.0.0.1", self._primary.port)
        await until(self._is_synced, SYNCED_WITHIN_MS, "the replica to have what Redis has")

    async def cut(self) -> None:
        """Let it lose sight of the primary; it stays a replica, with the data it has."""
        # A port that nobody listens on: to a replica it is a network that carries nothing.
        await _command(self, "REPLICAOF", "127.0.0.1", free_port())

    async def take_over(self) -> None:
        """Be the primary, at the address of the old one, which must be dead.

        Raises:
            StackError: the old one lives.
        """
        if self._primary.process.running:
            raise StackError("The primary lives: two servers cannot have one address.")
        await _command(self, "REPLICAOF", *NO_ONE)
        await _command(self, "CONFIG", "SET", "port", self._primary.port)
        self.port = self._primary.port

    async def _is_synced(self) -> bool:
        try:
            mine, theirs = await self._replication(self), await self._replication(self._primary)
        except RedisError:
            return False
        has_all = int(mine["slave_repl_offset"]) >= int(theirs["master_repl_offset"])
        return has_all and mine["master_link_status"] == "up"

    async def _replication(self, server: RedisServer) -> dict[str, Any]:
        async with Redis.from_url(server.url) as client:
            return dict(await client.info("replication"))


async def _command(server: RedisServer, *words: str | int) -> None:
    async with Redis.from_url(server.url) as client:
        await client.execute_command(*words)  # type: ignore[no-untyped-call]
