"""Declaring the topology, and asking the broker about it, over AMQP."""

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from app.amqp.connection import (
    CALL_TIMEOUT_MS,
    broker_call,
    close_connection,
    describe,
    open_channel,
    open_connection,
)
from app.amqp.management import Management
from app.amqp.topology import (
    DEAD_LETTERS,
    MARKER_PREFIX,
    QUARANTINE,
    TASKS,
    arguments_of,
    binding_key,
    difference_from,
    marker_exchange,
    mirror_queue,
    mismatch_sentence,
)
from app.errors import EnvMismatch, TopologyMismatch, Unavailable


async def declare(
    connection: AbstractConnection,
    env: str,
    management: Management | None = None,
    *,
    deadline_ms: int = CALL_TIMEOUT_MS,
) -> None:
    """Make the vhost ours: marker, exchanges and the quarantine; repeating it changes nothing.

    Raises:
        EnvMismatch: the vhost belongs to another env.
        TopologyMismatch: something exists with other arguments.
        Unavailable: the broker is away.
    """
    async with broker_call(deadline_ms):
        await _claim(connection, env)
        await _declare_exchange(connection, TASKS, ExchangeType.TOPIC)
        await _declare_exchange(connection, DEAD_LETTERS, ExchangeType.FANOUT)
        await _declare_queue(connection, QUARANTINE, management)
        async with open_channel(connection) as channel:
            queue = await channel.get_queue(QUARANTINE, ensure=False)
            await queue.bind(DEAD_LETTERS, routing_key="")


async def declare_queue(
    connection: AbstractConnection,
    queue: str,
    management: Management | None = None,
    *,
    deadline_ms: int = CALL_TIMEOUT_MS,
) -> None:
    """Declare and bind the mirror queue of the logical queue ``queue``, after ``declare``.

    Raises:
        TopologyMismatch: it exists with other arguments; names them.
        Unavailable: the broker is away.
    """
    name = mirror_queue(queue)
    async with broker_call(deadline_ms):
        await _declare_queue(connection, name, management)
        async with open_channel(connection) as channel:
            declared = await channel.get_queue(name, ensure=False)
            await declared.bind(TASKS, routing_key=binding_key(queue))


async def ready_count(
    connection: AbstractConnection, queue: str, *, deadline_ms: int = CALL_TIMEOUT_MS
) -> int:
    """Copies of ``queue`` that are ready now: 0 where there is no queue. Fresh, unlike statistics.

    Raises:
        Unavailable: the broker is away.
    """
    async with broker_call(deadline_ms), open_channel(connection) as channel:
        try:
            declared = await channel.get_queue(mirror_queue(queue), ensure=True)
        except ChannelNotFoundEntity:
            return 0
        return declared.declaration_result.message_count or 0


async def has_mirror_queue(url: str, queue: str, process: str) -> bool:
    """Whether the logical queue ``queue`` has a mirror queue; ``process`` names the connection.

    Raises:
        Unavailable: the broker is away.
    """
    connection = await open_connection(url, process)
    try:
        async with broker_call(), open_channel(connection) as channel:
            try:
                await channel.get_queue(mirror_queue(queue), ensure=True)
            except ChannelNotFoundEntity:
                return False
            return True
    finally:
        await close_connection(connection)


async def _claim(connection: AbstractConnection, env: str) -> None:
    marker = marker_exchange(env)
    if await _exists(connection, TASKS) and not await _exists(connection, marker):
        raise EnvMismatch(
            f"This RabbitMQ vhost holds the tasks of another env: {TASKS} exists and {marker} does"
            f" not. Give LIFEBOAT_ENV={env} a vhost of its own in LIFEBOAT_RABBITMQ_URL, or set"
            f" LIFEBOAT_ENV to the name behind {MARKER_PREFIX!r} among the vhost's exchanges."
        )
    # The marker first: a crash in between must not leave tasks without one.
    await _declare_exchange(connection, marker, ExchangeType.FANOUT)


async def _exists(connection: AbstractConnection, exchange: str) -> bool:
    try:
        async with open_channel(connection) as channel:
            await channel.get_exchange(exchange, ensure=True)
    except ChannelNotFoundEntity:
        return False
    return True


async def _declare_exchange(connection: AbstractConnection, name: str, kind: ExchangeType) -> None:
    try:
        async with open_channel(connection) as channel:
            await channel.declare_exchange(name, kind, durable=True)
    except ChannelPreconditionFailed as error:
        raise TopologyMismatch(
            f"The RabbitMQ exchange {name} is not the durable {kind.value} exchange Lifeboat needs:"
            f" {describe(error)}. Delete it and start again."
        ) from error


async def _declare_queue(
    connection: AbstractConnection, name: str, management: Management | None
) -> None:
    try:
        async with open_channel(connection) as channel:
            await channel.declare_queue(name, durable=True, arguments=dict(arguments_of(name)))
    except ChannelPreconditionFailed as error:
        if management is not None:
            await _verify_if_it_can(management, name)
        refusal = describe(error)
        said = difference_from(refusal)
        found = (said,) if said is not None else ()
        raise TopologyMismatch(mismatch_sentence(name, found, refusal)) from error


async def _verify_if_it_can(management: Management, name: str) -> None:
    """Prefer the management API's account of the arguments: it names them all."""
    try:
        await management.verify_queue(name)
    except Unavailable:
        return
