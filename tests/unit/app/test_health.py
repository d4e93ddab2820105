"""The health server of the processes without an API, over real HTTP."""

import asyncio
import socket

import aiohttp
import pytest

from app import health
from app.errors import SettingsError, Unavailable
from app.health import run_checks, serve_health
from app.lifecycle import cancel
from app.metrics import CONTENT_TYPE, Metrics
from app.stack.process import free_port
from tests.support.eventually import eventually

HOST = "127.0.0.1"


class House:
    """A process's health: its checks may be set, its life ended."""

    def __init__(self):
        self.port = free_port()
        self.answers = {"redis": None, "ledger": None}
        self.alive = True
        self.metrics = Metrics()

    def check(self, name):
        async def check():
            answer = self.answers[name]
            if callable(answer):
                await answer()
            elif answer is not None:
                raise answer

        return check

    async def run(self):
        await serve_health(
            HOST,
            self.port,
            checks={name: self.check(name) for name in self.answers},
            metrics=self.metrics,
            live=lambda: self.alive,
        )

    async def get(self, path):
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            session.get(f"http://{HOST}:{self.port}{path}") as response,
        ):
            return response.status, response.headers["content-type"], await response.read()

    async def answer(self, path):
        status, kind, body = await self.get(path)
        assert kind == "application/json"
        return status, body.decode()


@pytest.fixture
async def house():
    house = House()
    task = asyncio.create_task(house.run())

    async def up():
        assert not task.done()
        try:
            return await house.get("/livez")
        except aiohttp.ClientConnectorError:
            return None

    await eventually(up)
    yield house
    await cancel(task)


async def test_live_while_its_loops_run(house):
    assert await house.answer("/livez") == (200, '{"status":"ok"}')
    house.alive = False
    assert await house.answer("/livez") == (503, '{"status":"stuck"}')


async def test_ready_while_its_stores_answer(house):
    ready = '{"status":"ok","checks":{"redis":"ok","ledger":"ok"}}'
    assert await house.answer("/readyz") == (200, ready)
    house.answers["ledger"] = Unavailable("ledger", "connection refused")
    degraded = '{"status":"degraded","checks":{"redis":"ok","ledger":"connection refused"}}'
    assert await house.answer("/readyz") == (503, degraded)
    assert (await house.answer("/livez"))[0] == 200
    house.answers["ledger"] = None
    assert await house.answer("/readyz") == (200, ready)


async def test_a_check_that_hangs_is_no(house, monkeypatch):
    monkeypatch.setattr(health, "CHECK_WITHIN_S", 0.05)
    house.answers["redis"] = asyncio.Event().wait
    status, body = await house.answer("/readyz")
    assert status == 503
    assert '"redis":"no answer in time","ledger":"ok"' in body


async def test_checks_run_at_the_same_time():
    meeting = asyncio.Barrier(3)
    words = await run_checks(dict.fromkeys(("a", "b", "c"), meeting.wait))
    assert words == {"a": "ok", "b": "ok", "c": "ok"}
    assert await run_checks({}) == {}


async def test_a_store_that_says_nothing_is_still_away():
    async def check():
        raise Unavailable("redis", "")

    assert await run_checks({"redis": check}) == {"redis": "unavailable"}


async def test_metrics_are_served(house):
    house.metrics.lease_lost.labels("acme", "mail").inc()
    status, kind, body = await house.get("/metrics")
    assert (status, kind) == (200, CONTENT_TYPE)
    assert b'lifeboat_lease_lost_total{queue="mail",tenant="acme"} 1.0' in body


async def test_other_paths_are_not_found(house):
    assert (await house.get("/docs"))[0] == 404


async def test_a_taken_port_is_a_wrong_setting(house):
    with pytest.raises(SettingsError, match=f"{HOST}:{house.port} is taken.*set another or 0"):
        async with asyncio.timeout(10):
            await serve_health(HOST, house.port, checks={}, metrics=Metrics())


async def test_a_taken_port_that_nobody_named_is_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(health, "AGAIN_S", 0.05)
    port = free_port()

    async def serve(name):
        async def check():
            raise Unavailable("redis", name)

        checks = {"redis": check}
        await serve_health(HOST, port, checks=checks, metrics=Metrics(), patient=True)

    async def answers():
        house = House()
        house.port = port
        try:
            return (await house.get("/readyz"))[2]
        except aiohttp.ClientConnectorError:
            return b""

    async def answered_by(name):
        return name.encode() in await answers()

    first = asyncio.create_task(serve("first"))
    await eventually(lambda: answered_by("first"))
    second = asyncio.create_task(serve("second"))
    await eventually(lambda: f"{HOST}:{port} is taken" in caplog.text)
    assert await answered_by("first")
    await cancel(first)
    await eventually(lambda: answered_by("second"))
    await cancel(second)
    assert caplog.text.count("is taken") == 1


async def test_port_0_serves_nothing_until_cancelled():
    before = len(asyncio.all_tasks())
    task = asyncio.create_task(serve_health(HOST, 0, checks={}, metrics=Metrics()))
    await asyncio.sleep(0)
    assert not task.done()
    assert len(asyncio.all_tasks()) == before + 1
    await cancel(task)


async def test_a_cancelled_server_gives_its_port_back():
    house = House()
    task = asyncio.create_task(house.run())
    await eventually(lambda: _taken(house.port))
    await cancel(task)
    assert not _taken(house.port)


def _taken(port):
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
