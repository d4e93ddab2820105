"""Opening what a rehydrator works with, and closing it again."""

import logging
from contextlib import AsyncExitStack

from app.amqp.connection import place_of, vhost_of
from app.amqp.management import Management
from app.broker.connection import RedisConnection
from app.crashing import CrashPoints
from app.errors import SettingsError
from app.ledger.opening import ledger_of
from app.metrics import Metrics
from app.settings import Settings, addresses_of
from mirror.publisher import open_publisher
from mirror.topology import Topology
from rehydrator.redis_queue import Stores

log = logging.getLogger(__name__)


def open_stores(
    settings: Settings, closing: AsyncExitStack, *, process: str
) -> tuple[Stores, Topology]:
    """The stores, none of them reached yet; ``process`` names the connections to RabbitMQ.

    Raises:
        SettingsError: RabbitMQ or the ledger is not configured.
    """
    url = settings.rabbitmq_url
    if not url:
        raise SettingsError(
            "Rehydrating needs RabbitMQ: set LIFEBOAT_RABBITMQ_URL to an AMQP URL with this env's"
            " vhost."
        )
    ledger = ledger_of(settings)
    closing.push_async_callback(ledger.close)
    redis = RedisConnection.from_settings(settings)
    closing.push_async_callback(redis.close)
    management = _management(settings, url, closing)
    topology = Topology(url, settings.env, management, process=process)
    closing.push_async_callback(topology.close)
    publisher = open_publisher("plain", url, f"{process}-marks")
    closing.push_async_callback(publisher.close)
    crashes = CrashPoints(settings.crash_at)
    return Stores(settings, redis, ledger, publisher, Metrics(), url, crashes), topology


def place(url: str) -> str:
    """Host and port, without credentials; of a cluster all of them."""
    return ", ".join(place_of(each) for each in addresses_of(url))


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
