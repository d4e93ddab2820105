"""Which workers live: each says so of itself, again and again, and is forgotten when it stops."""

from dataclasses import dataclass
from typing import Any

import orjson

from app.broker.connection import Argument, RedisConnection
from app.broker.keys import workers_key
from app.names import QueueName


@dataclass(frozen=True, slots=True)
class WorkerItem:
    """What a worker says of itself.

    ``worker`` is its name, the same as its consumer's; ``running`` counts its started tasks; times
    are by its own clock, ``last_poll_at_ms`` is 0 before the first.
    """

    worker: str
    queues: tuple[QueueName, ...]
    types: tuple[str, ...]
    concurrency: int
    running: int
    started_at_ms: int
    last_poll_at_ms: int


class Presence:
    """The workers of one env."""

    def __init__(self, redis: RedisConnection, env: str) -> None:
        self._redis = redis
        self._key = workers_key(env)

    async def announce(self, item: WorkerItem, ttl_ms: int) -> None:
        """Have a worker listed for ``ttl_ms`` from now, by Redis's clock."""
        said = {
            "queues": [[each.tenant, each.queue] for each in item.queues],
            "types": item.types,
            "concurrency": item.concurrency,
            "running": item.running,
            "startedAt": item.started_at_ms,
            "lastPollAt": item.last_poll_at_ms,
        }
        arguments: list[Argument] = [item.worker, ttl_ms, orjson.dumps(said)]
        await self._redis.script("announce_worker", [self._key], arguments)

    async def leave(self, worker: str) -> None:
        """Take a worker off the list."""
        await self._redis.script("forget_worker", [self._key], [worker])

    async def workers(self) -> list[WorkerItem]:
        """Those who live, by name."""
        flat = await self._redis.script("list_workers", [self._key], [])
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        return [_item(worker.decode(), orjson.loads(found[worker])) for worker in sorted(found)]


def _item(worker: str, said: dict[str, Any]) -> WorkerItem:
    return WorkerItem(
        worker=worker,
        queues=tuple(QueueName(*each) for each in said["queues"]),
        types=tuple(said["types"]),
        concurrency=said["concurrency"],
        running=said["running"],
        started_at_ms=said["startedAt"],
        last_poll_at_ms=said["lastPollAt"],
    )
