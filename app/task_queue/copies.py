"""How many copies RabbitMQ holds of each queue, for people to look at; never for a decision."""

import asyncio
from collections.abc import Mapping
from typing import Final

from app.amqp.connection import vhost_of
from app.amqp.management import Management, QueueFacts
from app.amqp.topology import mirror_queue
from app.clock import monotonic_ms
from app.errors import Unavailable

WITHIN_MS: Final = 1_000
LASTS_MS: Final = 1_000


class Copies:
    """Counts from the management API, asked at most once a second. Close it."""

    def __init__(self, management_url: str | None, rabbitmq_url: str | None) -> None:
        self._management: Management | None = None
        self._urls = (management_url, rabbitmq_url)
        self._found: Mapping[str, int | None] = {}
        self._until_ms = 0
        self._asking = asyncio.Lock()

    async def count(self, queue: str) -> int | None:
        """Ready and unacked copies of a logical queue; None where nobody can say."""
        async with self._asking:
            if monotonic_ms() >= self._until_ms:
                self._found = await self._ask()
                self._until_ms = monotonic_ms() + LASTS_MS
        return self._found.get(mirror_queue(queue))

    async def close(self) -> None:
        """Let go of the HTTP connections."""
        if self._management is not None:
            await self._management.close()

    async def _ask(self) -> Mapping[str, int | None]:
        management_url, rabbitmq_url = self._urls
        if not management_url or not rabbitmq_url:
            return {}
        if self._management is None:
            vhost = vhost_of(rabbitmq_url)
            self._management = Management(management_url, vhost, timeout_ms=WITHIN_MS)
        try:
            return {each.name: _sum(each) for each in await self._management.queues()}
        except Unavailable:
            return {}


def _sum(facts: QueueFacts) -> int | None:
    if facts.ready is None or facts.unacked is None:
        return None
    return facts.ready + facts.unacked
