"""The broker's errors in our words."""

import asyncio

import pytest
from aiormq.exceptions import ConnectionClosed

from app.amqp.connection import broker_call, describe, vhost_of, was_closed_by_operator
from app.errors import EnvMismatch, Unavailable


async def test_a_cancellation_nobody_asked_for_is_a_lost_connection():
    with pytest.raises(Unavailable) as caught:
        async with broker_call(1_000):
            raise asyncio.CancelledError
    assert caught.value.store == "rabbitmq"


async def test_a_cancellation_asked_for_passes():
    async def call():
        async with broker_call(60_000):
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_nameless_error_is_a_lost_connection():
    with pytest.raises(Unavailable, match="connection is closed"):
        async with broker_call(1_000):
            raise Exception from asyncio.CancelledError()  # noqa: TRY002 - as aiormq does


async def test_an_error_of_the_program_stays_what_it_is():
    with pytest.raises(ValueError, match="a bug"):
        async with broker_call(1_000):
            raise ValueError("a bug")


@pytest.mark.parametrize("then", [None, OSError("closed"), Exception()])
async def test_a_cancellation_swallowed_inside_is_raised(then):
    async def call():
        async with broker_call(60_000):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if then is not None:
                    raise then from None

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_calls_of_a_task_that_is_being_stopped_still_work():
    async def clean_up():
        async with broker_call(1_000):
            await asyncio.sleep(0)
        return "clean"

    async def call():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await clean_up()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "clean"


async def test_the_deadline_is_unavailable_too():
    with pytest.raises(Unavailable, match="no answer in time"):
        async with broker_call(10):
            await asyncio.Event().wait()


async def test_our_own_errors_pass_unchanged():
    with pytest.raises(EnvMismatch):
        async with broker_call(1_000):
            raise EnvMismatch("stop")


@pytest.mark.parametrize(
    ("url", "vhost"),
    [
        ("amqp://guest:guest@127.0.0.1:5672/", "/"),
        ("amqp://guest:guest@127.0.0.1:5672", "/"),
        ("amqp://guest:guest@127.0.0.1:5672/orders", "orders"),
        ("amqp://guest:guest@127.0.0.1:5672/%2F", "/"),
        ("amqp://guest:guest@127.0.0.1:5672/a%20b?heartbeat=3", "a b"),
        ("amqp://guest:guest@one:5672/orders,amqp://guest:guest@two:5672/orders", "orders"),
    ],
)
def test_the_vhost_of_a_url(url, vhost):
    assert vhost_of(url) == vhost


def test_a_close_keeps_the_brokers_words():
    error = ConnectionClosed(320, "CONNECTION_FORCED - Closed via management plugin")
    assert describe(error).endswith("CONNECTION_FORCED - Closed via management plugin")
    assert was_closed_by_operator(error)


@pytest.mark.parametrize("error", [None, ConnectionClosed(0, "normal closed"), OSError("gone")])
def test_other_ends_are_nobodys_hand(error):
    assert not was_closed_by_operator(error)
