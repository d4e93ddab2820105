"""The Stream Mirror as a process: one mirror for each queue, one publisher for all of them."""

import asyncio
import logging
import os
import socket
from contextlib import AsyncExitStack

from app.amqp.connection import place_of, vhost_of
from app.amqp.management import Management
from app.broker.connection import RedisConnection
from app.crashing import CrashPoints
from app.errors import SettingsError, Unavailable
from app.health import serve_health
from app.ledger.opening import ledger_of
from app.lifecycle import run_until_stopped, wait_for
from app.metrics import Metrics
from app.names import QueueName, new_token
from app.sessions import watch_queues
from app.settings import Settings, addresses_of
from mirror.mirror import QueueMirror, Servers
from mirror.publisher import Publisher, open_publisher
from mirror.topology import Topology

log = logging.getLogger(__name__)


async def run_mirror(settings: Settings, *, queue: str | None = None) -> None:
    """Mirror all queues of all tenants, or only ``queue``, until SIGTERM or SIGINT.

    Raises:
        SettingsError: RabbitMQ or the ledger is not configured, or the health port is taken.
        Fatal: a store is not the one it must be; the sentence says what to do.
    """
    if not settings.rabbitmq_url:
        raise SettingsError(
            "The mirror needs RabbitMQ: set LIFEBOAT_RABBITMQ_URL to an AMQP URL with this env's"
            " vhost."
        )
    async with AsyncExitStack() as closing:
        servers = _servers(settings, settings.rabbitmq_url, closing)
        checks = {
            "redis": servers.redis.ping,
            "rabbitmq": lambda: _check(servers.publisher),
            "ledger": servers.ledger.ping,
        }
        await run_until_stopped(
            serve_health(
                settings.http_host,
                settings.mirror_port,
                checks=checks,
                metrics=servers.metrics,
                patient="mirror_port" not in settings.model_fields_set,
            ),
            _mirror(servers, queue),
        )


def _servers(settings: Settings, url: str, closing: AsyncExitStack) -> Servers:
    ledger = ledger_of(settings)
    closing.push_async_callback(ledger.close)
    redis = RedisConnection.from_settings(settings)
    closing.push_async_callback(redis.close)
    topology = Topology(url, settings.env, _management(settings, url, closing))
    closing.push_async_callback(topology.close)
    crashes = CrashPoints(settings.crash_at)
    publisher = open_publisher(settings.mirror_publisher, url, "mirror", crashes)
    closing.push_async_callback(publisher.close)
    owner = f"{socket.gethostname()}-{os.getpid()}-{new_token()[:8]}"
    return Servers(settings, redis, ledger, publisher, topology, Metrics(), owner, crashes)


def _management(settings: Settings, url: str, closing: AsyncExitStack) -> Management | None:
    if not settings.rabbitmq_management_url:
        log.warning(
            "LIFEBOAT_RABBITMQ_MANAGEMENT_URL is not set: the arguments of RabbitMQ's queues are"
            " checked passively only; a misspelt one stays unseen."
        )
        return None
    management = Management(settings.rabbitmq_management_url, vhost_of(url))
    closing.push_async_callback(management.close)
    return management


async def _mirror(servers: Servers, queue: str | None) -> None:
    await wait_for("the ledger", servers.ledger.open)
    await wait_for(f"Redis at {_place(servers.settings.redis_url)}", servers.redis.ping)
    where = _place(servers.settings.rabbitmq_url or "")
    await wait_for(f"RabbitMQ at {where}", servers.topology.declare)
    try:
        async with asyncio.TaskGroup() as mirrors:

            async def found(name: QueueName) -> None:
                mirrors.create_task(QueueMirror(servers, name).run(), name=f"mirror {name}")

            await watch_queues(servers.ledger, found, queue=queue)
    except BaseExceptionGroup as errors:
        # One queue's Fatal sentence is what the process stops with.
        raise errors.exceptions[0] from errors


async def _check(publisher: Publisher) -> None:
    if not publisher.connected:
        raise Unavailable("rabbitmq", "not connected")
    if publisher.blocked:
        raise Unavailable("rabbitmq", "it has an alarm and takes no copies")


def _place(url: str) -> str:
    """Host and port, without credentials; of a cluster all of them."""
    return ", ".join(place_of(each) for each in addresses_of(url))
