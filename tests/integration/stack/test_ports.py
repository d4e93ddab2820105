"""A process counts as ready only by its own answer, whoever else answers on its port."""

import pytest
from aiohttp import web

from app.stack import system as stack_system
from app.stack.process import free_port
from app.stack.system import HOST, USUAL_PORTS, Service, System


@pytest.fixture
async def stranger():
    """The port of somebody else's API, which says that it is ready."""

    async def readyz(_request):
        return web.json_response({"status": "ok", "checks": {}})

    application = web.Application()
    application.router.add_get("/readyz", readyz)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    yield site._server.sockets[0].getsockname()[1]
    await runner.cleanup()


async def test_another_port_is_taken_when_somebody_came_first(
    stranger, redis_server, env_name, tmp_path
):
    environment = {
        "LIFEBOAT_ENV": env_name,
        "LIFEBOAT_REDIS_URL": redis_server.url,
        "LIFEBOAT_SQLITE_PATH": str(tmp_path / "ledger.sqlite"),
        "LIFEBOAT_SPOOL_DIR": str(tmp_path / "spool"),
    }
    service = Service("api", tmp_path, environment, detached=False)
    service.use_port(stranger)
    try:
        await service.start()

        assert service.port != stranger
        assert await service.is_ready()
    finally:
        await service.process.stop()


def test_a_system_for_people_is_where_they_look_if_nobody_else_is(monkeypatch, tmp_path):
    assert USUAL_PORTS == {"api": 8000, "worker": 9101, "mirror": 9102, "rehydrator": 9103}
    monkeypatch.setattr(stack_system, "is_free", lambda port: port != USUAL_PORTS["mirror"])
    monkeypatch.setenv("LIFEBOAT_WORKER_PORT", "9555")
    services = System(tmp_path, {}, workers=2, usual_ports=True).services
    ports = {name: each.port for name, each in services.items()}
    assert (ports["api"], ports["worker"], ports["rehydrator"]) == (8000, 9555, 9103)
    assert ports["mirror"] not in USUAL_PORTS.values()


def test_other_systems_keep_away_from_there(tmp_path):
    services = System(tmp_path, {}, workers=2).services
    assert not {each.port for each in services.values()} & set(USUAL_PORTS.values())


def test_no_port_is_told_twice_although_nobody_listens_yet():
    assert len({free_port() for _ in range(500)}) == 500
