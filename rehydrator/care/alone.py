"""Having a mirror queue to oneself: its rehydrator's lease, and nobody else who holds copies."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aio_pika.abc import AbstractConnection

from app.amqp.connection import broker_call, close_connection, open_channel, open_connection
from app.amqp.topology import mirror_queue
from rehydrator.lease import Lease, queue_lease
from rehydrator.redis_queue import Stores
from rehydrator.run import Incomplete

POLL_S: Final = 0.2


@asynccontextmanager
async def alone(stores: Stores, queue: str, within_s: float) -> AsyncIterator[None]:
    """The service hands over and holds nothing; it goes on afterwards.

    Raises:
        Incomplete: somebody else keeps the copies.
        Unavailable: the broker is away.
    """
    deadline_s = time.monotonic() + within_s
    lease = Lease(stores.ledger, queue_lease(queue), stores.settings.rehydrator_lease_ms)
    while not await lease.acquire():
        if time.monotonic() > deadline_s:
            raise Incomplete(
                f"The rehydrator of queue {queue} did not hand over. Is it stuck? Stop it and run"
                " this again."
            )
        await lease.want()
        await asyncio.sleep(POLL_S)
    async with lease.kept(yields=False):
        await _until_nobody_consumes(stores.rabbitmq_url, queue, deadline_s)
        yield


async def _until_nobody_consumes(url: str, queue: str, deadline_s: float) -> None:
    connection = await open_connection(url, "reconcile-look")
    try:
        while await _consumers(connection, queue):
            if time.monotonic() > deadline_s:
                raise Incomplete(
                    f"Somebody else consumes {mirror_queue(queue)}: what they hold could not be"
                    " looked at. Stop them and run this again."
                )
            await asyncio.sleep(POLL_S)
    finally:
        await close_connection(connection)


async def _consumers(connection: AbstractConnection, queue: str) -> int:
    async with broker_call(), open_channel(connection) as channel:
        declared = await channel.get_queue(mirror_queue(queue), ensure=True)
        return declared.declaration_result.consumer_count or 0
