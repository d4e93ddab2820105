"""Clients of a real API, and of ports where what answers is the test's."""

import asyncio

import pytest

from app.client import Client
from tests.integration.api.conftest import (
    api,
    mirrored_api,
    settings_of,
    start,
    stop_later,
    stores,
)

__all__ = ["api", "mirrored_api", "settings_of", "start", "stop_later", "stores"]


@pytest.fixture
async def clients():
    """Makes clients that are closed with the test."""
    made = []

    def make(url, **more):
        made.append(Client(url, **more))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def client(api, clients):
    return clients(api.url, timeout=30)


class Gate:
    """A TCP relay to an API that can swallow answers or refuse connections."""

    def __init__(self, url):
        self.host, self.port = url.removeprefix("http://").split(":")
        self.swallow = 0
        self.seen = 0
        self.server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def open(self):
        self.server = await asyncio.start_server(self._relay, "127.0.0.1", 0)

    async def _relay(self, reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection(self.host, self.port)
        answering = asyncio.create_task(self._answers(inner_reader, writer))
        while chunk := await reader.read(65_536):
            self.seen += 1
            inner_writer.write(chunk)
        answering.cancel()
        inner_writer.close()
        writer.close()

    async def _answers(self, inner_reader, writer):
        while chunk := await inner_reader.read(65_536):
            if self.swallow:
                # The API has done it; its answer never arrives.
                self.swallow -= 1
                writer.close()
                return
            writer.write(chunk)


@pytest.fixture
async def gate(api):
    gate = Gate(api.url)
    await gate.open()
    yield gate
    gate.server.close()
