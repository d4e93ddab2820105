"""The pool is of the kind its URL asks for."""

import asyncio

import pytest
import uvloop
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from app.broker.connection import RedisConnection
from app.broker.packing import PackedConnection
from app.errors import Unavailable


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://127.0.0.1:6379/0", PackedConnection),
        ("rediss://127.0.0.1:6379/0", SSLConnection),
        ("unix:///run/redis.sock", UnixDomainSocketConnection),
    ],
)
def test_the_url_chooses_the_kind_of_connection(url, kind):
    made = RedisConnection(url, connect_timeout_ms=100, timeout_ms=100)
    assert made.redis.connection_pool.connection_class is kind


def test_no_connection_asks_for_notifications_that_only_a_cloud_sends():
    made = RedisConnection("redis://127.0.0.1:6379/0", connect_timeout_ms=100, timeout_ms=100)
    assert not made.redis.connection_pool.maint_notifications_enabled()


def test_a_socket_closed_meanwhile_is_redis_away_also_in_the_words_of_uvloop():
    connection = RedisConnection("redis://127.0.0.1:1/0", connect_timeout_ms=50, timeout_ms=100)

    async def call_on_a_closed_socket() -> None:
        async def closed(*_: object) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.transport.abort()
            await asyncio.sleep(0)
            writer.writelines([b"PING"])

        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection.redis.ping = closed
        try:
            await connection.ping()
        finally:
            server.close()

    with pytest.raises(Unavailable):
        uvloop.run(call_on_a_closed_socket())
