"""The rehydrator as a process: one service for each mirror queue."""

import asyncio
from contextlib import AsyncExitStack

from app.errors import Unavailable
from app.health import serve_health
from app.lifecycle import run_until_stopped, wait_for
from app.names import QueueName
from app.sessions import watch_queues
from app.settings import Settings
from mirror.publisher import Publisher
from mirror.topology import Topology
from rehydrator.keeper import QuarantineKeeper
from rehydrator.redis_queue import Stores
from rehydrator.service import QueueService
from rehydrator.stores import open_stores, place
from rehydrator.wishes import serve_wishes


async def run_rehydrator(settings: Settings, *, queue: str | None = None) -> None:
    """Serve the mirror queues of all logical queues, or only of ``queue``, until SIGTERM or SIGINT.

    Raises:
        SettingsError: RabbitMQ or the ledger is not configured, or the health port is taken.
        Fatal: a store is not the one it must be; the sentence says what to do.
    """
    async with AsyncExitStack() as closing:
        stores, topology = open_stores(settings, closing, process="rehydrator")
        checks = {
            "redis": stores.redis.ping,
            "rabbitmq": lambda: _check(stores.publisher),
            "ledger": stores.ledger.ping,
        }
        await run_until_stopped(
            serve_health(
                settings.http_host,
                settings.rehydrator_port,
                checks=checks,
                metrics=stores.metrics,
                patient="rehydrator_port" not in settings.model_fields_set,
            ),
            _serve(stores, topology, queue),
        )


async def _serve(stores: Stores, topology: Topology, queue: str | None) -> None:
    settings = stores.settings
    await wait_for("the ledger", stores.ledger.open)
    await wait_for(f"Redis at {place(settings.redis_url)}", stores.redis.ping)
    await wait_for(f"RabbitMQ at {place(stores.rabbitmq_url)}", topology.declare)
    services: dict[str, QueueService] = {}
    try:
        async with asyncio.TaskGroup() as running:

            async def found(name: QueueName) -> None:
                service = services.get(name.queue)
                if service is None:
                    service = services[name.queue] = QueueService(stores, topology, name.queue)
                    running.create_task(service.run(), name=f"rehydrator {name.queue}")
                service.meet(name)

            running.create_task(QuarantineKeeper(stores).run(), name="quarantine")
            wishes = serve_wishes(settings, stores.ledger, queue, stores.crashes)
            running.create_task(wishes, name="rehydrations")
            await watch_queues(stores.ledger, found, queue=queue)
    except BaseExceptionGroup as errors:
        # One queue's Fatal sentence is what the process stops with.
        raise errors.exceptions[0] from errors


async def _check(publisher: Publisher) -> None:
    if not publisher.connected:
        raise Unavailable("rabbitmq", "not connected")
