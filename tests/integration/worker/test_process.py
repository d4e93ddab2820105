"""The worker as a process: waits for its stores, answers for its health, stops when told."""

import asyncio
import logging
import os
import signal

import aiohttp
import pytest

from app.errors import SettingsError
from app.registry import TaskRegistry
from app.stack.process import free_port
from app.stack.servers import RedisServer
from app.worker.process import run_worker
from tests.integration.worker.house import House, Payload
from tests.support.eventually import eventually


async def get(port, path):
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as response,
        ):
            return response.status, await response.text()
    except aiohttp.ClientError:
        return 0, ""


async def status(port, path, wanted):
    return (await get(port, path))[0] == wanted


async def test_a_worker_waits_for_its_stores_works_and_stops_when_told(
    tmp_path, env_name, sqlite_path, caplog
):
    server, port = RedisServer(tmp_path), free_port()
    house = House(server.url, env_name, sqlite_path)
    await house.ledger.open()
    await house.ledger.ensure_queue("acme", "mail", 10)
    registry = house.mail.registry()
    with caplog.at_level(logging.WARNING):
        process = asyncio.create_task(run_worker(house.settings(worker_port=port), registry))
        await eventually(lambda: status(port, "/readyz", 503))
        await eventually(lambda: f"Waiting for Redis at 127.0.0.1:{server.port}" in caplog.text)
    assert await status(port, "/livez", 200)
    await server.start()
    try:
        house.connect()
        await house.submit_one()
        await house.ends(state="succeeded")
        await eventually(lambda: status(port, "/readyz", 200))
        _, exposition = await get(port, "/metrics")
        assert (
            'lifeboat_tasks_settled_total{outcome="succeeded",queue="mail",tenant="acme"} 1.0'
            in exposition
        )
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(process, 20)
        await house.close()
    finally:
        server.kill9()


async def test_a_registry_may_not_redefine_a_built_in_type(house):
    registry = TaskRegistry()

    @registry.task("http.deliver", payload=Payload)
    async def mine(payload):
        pass

    with pytest.raises(SettingsError, match=r"'http.deliver' is registered twice"):
        await run_worker(house.settings(worker_port=0), registry)
