"""The proxy's verbs on real sockets, and the network that has them done in another process."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from app.stack.network import Network
from app.stack.process import StackError, free_port, is_free
from app.stack.proxy import HOST, Proxy
from tests.support.eventually import eventually

SILENCE_S = 0.15


class Echo:
    """A server that answers what it is told, and knows what it was told."""

    def __init__(self):
        self.heard = b""
        self.left = 0

    async def serve(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.heard += data
                writer.write(data)
        self.left += 1
        writer.close()


@asynccontextmanager
async def echoing(port=0):
    echo = Echo()
    server = await asyncio.start_server(echo.serve, HOST, port)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()


@pytest.fixture
async def echo():
    async with echoing() as echo:
        yield echo


@pytest.fixture
async def proxy(echo):
    proxy = await Proxy(HOST, echo.port).open()
    yield proxy
    await proxy.close()


@pytest.fixture
async def client(proxy):
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    assert await said(reader, writer, b"hello") == b"hello"
    yield reader, writer
    writer.transport.abort()


async def said(reader, writer, words):
    writer.write(words)
    return await asyncio.wait_for(reader.readexactly(len(words)), 5)


async def silent(reader):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), SILENCE_S)


async def ended(proxy):
    """A new connection is over before anything comes through it."""
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        reader, _ = await asyncio.open_connection(HOST, proxy.port)
        await asyncio.wait_for(reader.readexactly(1), 5)


async def test_held_requests_reach_the_server_once_they_flow(echo, proxy, client):
    reader, writer = client
    proxy.hold_requests()
    writer.write(b"late")
    await silent(reader)
    assert echo.heard == b"hello"
    proxy.flow()
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"late"


async def test_lost_answers_are_those_of_requests_that_arrived(echo, proxy, client):
    reader, writer = client
    proxy.hold_answers()
    writer.write(b"done")
    await eventually(lambda: echo.heard == b"hellodone")
    await silent(reader)
    proxy.lose()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), 5)
    assert await said(*await asyncio.open_connection(HOST, proxy.port), b"again") == b"again"


async def test_a_silent_network_does_not_tell_the_server_that_a_client_has_gone(
    echo, proxy, client
):
    proxy.hold()
    client[1].close()
    await asyncio.sleep(SILENCE_S)
    assert echo.left == 0
    proxy.flow()
    await eventually(lambda: echo.left == 1)


async def test_a_cut_resets_those_who_are_there_and_a_refusal_also_those_who_come(proxy, client):
    reader, _ = client
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), 5)
    await ended(proxy)
    proxy.flow()
    assert await said(*await asyncio.open_connection(HOST, proxy.port), b"back") == b"back"


async def test_what_is_delayed_comes_later_both_ways(proxy, client):
    loop = asyncio.get_running_loop()
    proxy.delay(100)
    began = loop.time()
    await said(*client, b"slow")
    assert loop.time() - began >= 0.2


async def test_ended_answers_leave_requests_open(echo, proxy, client):
    reader, writer = client
    proxy.end_answers()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.write(b"still")
    await eventually(lambda: echo.heard == b"hellostill")
    assert echo.left == 0


async def test_ended_requests_are_an_end_for_the_server(echo, proxy, client):
    proxy.end_requests()
    await eventually(lambda: echo.left == 1)


async def test_where_nobody_listens_a_client_is_reset():
    proxy = await Proxy(HOST, free_port()).open()
    await ended(proxy)
    await proxy.close()


async def test_the_port_of_a_line_is_nobody_else_s_before_it_is_opened(echo, tmp_path):
    network = Network(tmp_path)
    network.line("ours", "echo", f"tcp://{HOST}:{echo.port}")
    port, _ = network.lines["ours>echo"]
    assert not is_free(port)
    network.end()
    assert is_free(port)


async def test_a_network_breaks_one_line_alone(echo, tmp_path):
    network = Network(tmp_path)
    ours = network.line("ours", "echo", f"tcp://user:word@{HOST}:{echo.port}/path?query=1")
    assert ours.startswith("tcp://user:word@")
    assert ours.endswith("/path?query=1")
    network.line("theirs", "echo", f"tcp://{HOST}:{echo.port}")
    await network.start()
    try:
        (port, _), (other, _) = network.lines["ours>echo"], network.lines["theirs>echo"]
        here = await asyncio.open_connection(HOST, port)
        there = await asyncio.open_connection(HOST, other)
        await said(*here, b"one")
        await network.do("ours>echo", "hold_answers")
        await network.do("ours>echo", "delay", 10)
        here[1].write(b"two")
        await silent(here[0])
        await said(*there, b"three")
        await network.heal()
        assert await asyncio.wait_for(here[0].readexactly(3), 5) == b"two"
        with pytest.raises(StackError, match="did not obey"):
            await network.do("ours>echo", "explode")
    finally:
        network.end()
