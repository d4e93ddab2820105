"""Calls to MongoDB that nobody is there to answer: PyMongo waits for a server also then."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ECONNREFUSED
from typing import Any, Final, cast

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.topology_description import TopologyDescription

LOOK_EVERY_S: Final = 0.75
"""PyMongo tries a server again each half second while a call waits for it: once in between."""

_REFUSED: Final = f"[Errno {ECONNREFUSED}]"
"""PyMongo keeps the system's error as text alone."""

Client = AsyncIOMotorClient[dict[str, Any]]


@contextmanager
def cut_short(deadline: asyncio.Timeout, client: Client) -> Iterator[None]:
    """End what runs inside ``deadline`` before its time once every server refuses connections."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        if refusal_of(client) and not deadline.expired():
            deadline.reschedule(loop.time())
        else:
            timer = loop.call_later(LOOK_EVERY_S, look)

    timer = loop.call_later(LOOK_EVERY_S, look)
    try:
        yield
    finally:
        timer.cancel()


def refusal_of(client: Client) -> str:
    """Which servers refuse connections, '' unless all that are known did when last tried."""
    servers = topology_of(client).server_descriptions().values()
    if not servers or any(_REFUSED not in str(server.error) for server in servers):
        return ""
    named = ", ".join(f"{host}:{port}" for host, port in (each.address for each in servers))
    return f"no connection to {named}: refused"


def topology_of(client: Client) -> TopologyDescription:
    """What a client knows of the servers."""
    # motor 3.7.1 has it as a property, its stub as a method.
    return cast(TopologyDescription, client.topology_description)
