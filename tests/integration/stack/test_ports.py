"""A process counts as ready only by its own answer, whoever else answers on its port."""

import pytest
from aiohttp import web

from app.stack.process import free_port
from app.stack.system import HOST, Service


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


def test_no_port_is_told_twice_although_nobody_listens_yet():
    assert len({free_port() for _ in range(500)}) == 500
