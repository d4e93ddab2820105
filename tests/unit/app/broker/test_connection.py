"""The pool is of the kind its URL asks for."""

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from app.broker.connection import RedisConnection
from app.broker.packing import PackedConnection


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
