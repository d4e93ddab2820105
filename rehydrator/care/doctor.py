"""``doctor``: ask every server what would lose data. A server that is away is a failed check."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from aio_pika import Message
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from app.amqp.connection import (
    broker_call,
    close_connection,
    open_channel,
    open_connection,
    underlay,
    vhost_of,
)
from app.amqp.management import Management
from app.amqp.topology import (
    DEAD_LETTERS,
    MIRROR_PREFIX,
    QUARANTINE,
    TASKS,
    marker_exchange,
    mirror_queue,
)
from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.broker.probe import probe_writes
from app.broker.server import read_redis
from app.clock import now_ms
from app.errors import Fatal, SettingsError, Unavailable
from app.ledger.ledger import Ledger
from app.ledger.opening import ledger_of
from app.ledger.server import read_ledger_server
from app.names import QueueName, new_token
from app.settings import Settings, about_unknown_variables
from rehydrator.care.checks import (
    Check,
    about_clock,
    about_identity,
    about_ledger,
    about_nodes,
    about_python,
    about_queue,
    about_redis,
    about_settings,
    about_version,
    away,
)

PROBE_EXPIRES_MS: Final = 60_000


async def examine(settings: Settings) -> list[Check]:
    """Every check there is, in the order of the stores."""
    async with AsyncExitStack() as closing:
        redis = RedisConnection.from_settings(settings)
        closing.push_async_callback(redis.close)
        checks = [
            about_settings(about_unknown_variables()),
            about_python(),
            *await _or_away("redis", "Redis", lambda: _redis(settings, redis)),
        ]
        ledger, names, found = await _ledger(settings, closing)
        checks += found
        if ledger is not None:
            checks += await _or_away(
                "redis-ledger", "Redis", lambda: _remembered(settings, redis, ledger, names)
            )
        queues = sorted({each.queue for each in names})
        identity = ledger.identity if ledger is not None else ""
        return checks + await _rabbitmq(settings, queues, identity)


async def _or_away(name: str, store: str, ask: Callable[[], Awaitable[list[Check]]]) -> list[Check]:
    try:
        return await ask()
    except Unavailable as error:
        return [away(name, store, error.detail)]


async def _redis(settings: Settings, redis: RedisConnection) -> list[Check]:
    before_ms = now_ms()
    facts = await read_redis(redis)
    checks = about_redis(facts)
    checks.append(about_clock("redis-clock", "Redis", facts.now_ms, before_ms, now_ms()))
    try:
        await probe_writes(redis, settings.env, settings.tenant)
        checks.append(Check("redis-writes", "ok", "It takes writes."))
    except Unavailable as error:
        checks.append(
            Check("redis-writes", "fail", f"Redis refuses writes ({error.detail}): mend that.")
        )
    return checks


async def _remembered(
    settings: Settings, redis: RedisConnection, ledger: Ledger, names: Sequence[QueueName]
) -> list[Check]:
    others = {}
    for name in names:
        (known,) = await redis.fields(QueueKeys(settings.env, name).generation, "ledger")
        if known not in (None, "", ledger.identity):
            others[known] = name
    checks = [
        about_identity("redis-ledger", f"Queue {name.queue} in Redis", known, ledger.identity)
        for known, name in others.items()
    ]
    return checks or [about_identity("redis-ledger", "Redis", "", ledger.identity)]


async def _ledger(
    settings: Settings, closing: AsyncExitStack
) -> tuple[Ledger | None, list[QueueName], list[Check]]:
    """The ledger, the queues it names, and what is to be said of it."""
    try:
        ledger = ledger_of(settings)
        closing.push_async_callback(ledger.close)
        before_ms = now_ms()
        facts = await read_ledger_server(settings)
        checks = about_ledger(facts)
        checks.append(about_clock("ledger-clock", "the ledger", facts.now_ms, before_ms, now_ms()))
        # Only now: to open a file that is not there would make an empty ledger.
        await ledger.open()
        waiting = await ledger.count_quarantined()
        names = [QueueName(each.tenant, each.queue) for each in await ledger.queues()]
    except Unavailable as error:
        return None, [], [away("ledger", "The ledger", error.detail)]
    except (SettingsError, Fatal) as error:
        return None, [], [Check("ledger", "fail", str(error))]
    if waiting:
        sentence = f"{waiting:,} copies wait for a person: `lifeboat quarantine ls` shows them."
        checks.append(Check("quarantine", "warn", sentence))
    return ledger, names, checks


async def _rabbitmq(settings: Settings, queues: Sequence[str], ledger: str) -> list[Check]:
    url = settings.rabbitmq_url
    if not url:
        sentence = "LIFEBOAT_RABBITMQ_URL is not set: no task has a second copy. Set it."
        return [Check("rabbitmq", "fail", sentence)]
    try:
        connection = await open_connection(url, "doctor")
    except Unavailable as error:
        return [away("rabbitmq", "RabbitMQ", error.detail)]
    try:
        version = str(underlay(connection).server_properties.get("version", "0"))
        checks = [about_version("rabbitmq", version)]
        checks += await _or_away("rabbitmq-confirm", "RabbitMQ", lambda: _confirm(url))
        checks += await _or_away(
            "rabbitmq-env", "RabbitMQ", lambda: _exchanges(connection, settings)
        )
        for queue in queues:
            checks += await _or_away(
                f"rabbitmq-copies {queue}",
                "RabbitMQ",
                lambda queue=queue: _copy(connection, settings, queue, ledger),  # type: ignore[misc]
            )
    except Unavailable as error:
        return [away("rabbitmq", "RabbitMQ", error.detail)]
    finally:
        await close_connection(connection)
    return checks + await _management(settings, url)


async def _confirm(url: str) -> list[Check]:
    """One message into a quorum queue of our own and its confirm.

    On a connection of its own: a broker with an alarm does not read on.
    """
    name = f"lifeboat.doctor.{new_token()[:12]}"
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-expires": PROBE_EXPIRES_MS}
    connection = await open_connection(url, "doctor-confirm")
    try:
        async with broker_call():
            channel = connection.channel(on_return_raises=True)
            await channel.initialize()
            queue = await channel.declare_queue(name, durable=True, arguments=arguments)
            began_s = time.monotonic()
            await channel.default_exchange.publish(Message(b""), name, mandatory=True)
            took_ms = (time.monotonic() - began_s) * 1_000
            await queue.delete(if_unused=False, if_empty=False)
    finally:
        await close_connection(connection)
    sentence = f"A message into a quorum queue was confirmed within {took_ms:.0f} ms."
    return [Check("rabbitmq-confirm", "ok", sentence)]


async def _exchanges(connection: AbstractConnection, settings: Settings) -> list[Check]:
    marker = marker_exchange(settings.env)
    if not await _exists(connection, marker):
        sentence = (
            f"The vhost has no exchange {marker}: nothing of this env was declared in it yet."
        )
        return [Check("rabbitmq-env", "warn", sentence)]
    checks = [Check("rabbitmq-env", "ok", "The vhost is this env's.")]
    for name in (TASKS, DEAD_LETTERS):
        there = await _exists(connection, name)
        sentence = "It is there." if there else f"{name} is missing: `lifeboat remirror` makes it."
        checks.append(Check(f"rabbitmq-exchange {name}", "ok" if there else "fail", sentence))
    return checks


async def _exists(connection: AbstractConnection, exchange: str) -> bool:
    try:
        async with broker_call(), open_channel(connection) as channel:
            await channel.get_exchange(exchange, ensure=True)
    except Unavailable as error:
        if isinstance(error.__cause__, ChannelNotFoundEntity):
            return False
        raise
    return True


async def _copy(
    connection: AbstractConnection, settings: Settings, queue: str, ledger: str
) -> list[Check]:
    """Where a copy nobody holds says that it belongs; it goes back untouched."""
    name = f"rabbitmq-copies {queue}"
    try:
        async with broker_call(), open_channel(connection) as channel:
            declared = await channel.get_queue(mirror_queue(queue), ensure=True)
            message = await declared.get(no_ack=False, fail=False)
            headers = dict(message.headers) if message is not None else {}
            if message is not None:
                await message.nack(requeue=True)
    except Unavailable as error:
        if not isinstance(error.__cause__, ChannelNotFoundEntity):
            raise
        sentence = f"{mirror_queue(queue)} is missing: `lifeboat remirror` makes it and fills it."
        return [Check(name, "fail", sentence)]
    if str(headers.get("x-env", settings.env)) != settings.env:
        sentence = f"{mirror_queue(queue)} holds copies of env {headers['x-env']!r}: a wrong vhost."
        return [Check(name, "fail", sentence)]
    if message is None:
        return [Check(name, "ok", "No copy is at hand; the rehydrator checks each it gets.")]
    where = f"What lies in {mirror_queue(queue)}"
    return [about_identity(name, where, str(headers.get("x-ledger", "")), ledger)] if ledger else []


async def _management(settings: Settings, url: str) -> list[Check]:
    if not settings.rabbitmq_management_url:
        sentence = (
            "LIFEBOAT_RABBITMQ_MANAGEMENT_URL is not set: arguments, members and alarms of RabbitMQ"
            " cannot be read. Set it."
        )
        return [Check("rabbitmq-management", "warn", sentence)]
    management = Management(
        settings.rabbitmq_management_url, vhost_of(url), timeout_ms=settings.store_timeout_ms
    )

    async def queues() -> list[Check]:
        found = {each.name: each for each in await management.queues()}
        ours = [each for each in sorted(found) if each.startswith(MIRROR_PREFIX)]
        ours += [QUARANTINE] if QUARANTINE in found else []
        return [check for name in ours for check in about_queue(found[name])]

    async def nodes() -> list[Check]:
        return about_nodes(await management.nodes())

    try:
        checks = await _or_away("rabbitmq-management", "RabbitMQ's management API", queues)
        return checks + await _or_away("rabbitmq-nodes", "RabbitMQ's management API", nodes)
    finally:
        await management.close()
