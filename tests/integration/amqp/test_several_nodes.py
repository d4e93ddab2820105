"""A URL that names several nodes: who does not take a connection is passed over."""

import pytest

from app.amqp.connection import close_connection, open_connection, vhost_of
from app.amqp.management import Management
from app.errors import Unavailable
from tests.support.proxy import Proxy


@pytest.fixture
def dead_node(unused_tcp_port, rabbitmq_url):
    vhost = rabbitmq_url.rpartition("/")[2]
    return f"amqp://guest:guest@127.0.0.1:{unused_tcp_port}/{vhost}"


async def test_a_dead_node_is_passed_over(dead_node, rabbitmq_url):
    connection = await open_connection(f"{dead_node},{rabbitmq_url}", "test")
    assert not connection.is_closed
    await close_connection(connection)


async def test_a_silent_node_costs_no_more_than_its_share_of_the_time(proxy, rabbitmq_url):
    proxy.hold_answers()
    connection = await open_connection(f"{proxy.url},{rabbitmq_url}", "test", timeout_ms=8_000)
    assert not connection.is_closed
    assert proxy.opened == 1
    await close_connection(connection)


async def test_the_first_that_answers_is_taken(proxy, rabbitmq_url):
    connection = await open_connection(f"{rabbitmq_url},{proxy.url}", "test")
    assert proxy.opened == 0
    await close_connection(connection)


async def test_when_none_answers_each_is_told_without_its_password(dead_node, rabbitmq_url):
    refused = rabbitmq_url.replace(":guest@", ":secret@")
    with pytest.raises(Unavailable, match=r"127.0.0.1:\d+: .*; 127.0.0.1:\d+: .*") as caught:
        await open_connection(f"{dead_node},{refused}", "test")
    assert "ACCESS_REFUSED" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_the_management_api_of_any_node_will_do(rabbitmq_url, rabbitmq_management_url):
    vhost = vhost_of(rabbitmq_url)
    async with Proxy(rabbitmq_management_url) as proxy:
        proxy.hold_answers()
        url = f"http://guest:guest@127.0.0.1:1,{proxy.url},{rabbitmq_management_url}"
        management = Management(url, vhost, timeout_ms=9_000)
        assert await management.queues() == []
        opened = proxy.opened
        # Who answered is asked first from then on.
        assert await management.queues() == []
        assert proxy.opened == opened
        await management.close()
