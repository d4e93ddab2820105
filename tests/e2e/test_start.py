"""Each server away at the start: every process says in one sentence what it waits for, then works."""

import pytest

from app.stack.process import until
from app.stack.system import System
from tests.e2e.conftest import Board
from tests.support.eventually import eventually

NEEDS = {
    "redis": ("worker", "mirror", "rehydrator"),
    "rabbitmq": ("mirror", "rehydrator"),
    "mongo": ("worker", "mirror", "rehydrator"),
}
WORDS = {"redis": "Redis", "rabbitmq": "RabbitMQ", "mongo": "ledger"}


@pytest.mark.parametrize("away", ["redis", "rabbitmq", "mongo"])
async def test_processes_wait_for_a_server_and_start_working_when_it_comes(
    away, stack, environment, receiver, tmp_path
):
    system = System(tmp_path / "log", environment)
    board = Board(stack, system, environment, *receiver)
    server = getattr(stack, away)
    server.kill9()
    try:
        for service in system.services.values():
            service.process.start()
        for name in NEEDS[away]:
            log = tmp_path / "log" / f"{name}.log"
            sentence = f"Waiting for {'the ' if away == 'mongo' else ''}{WORDS[away]}"
            await eventually(lambda log=log, s=sentence: s in log.read_text(), within_s=60)
        assert all(service.process.running for service in system.services.values())
        await server.start()
        for service in system.services.values():
            await until(service.is_ready, 90_000, f"{service.name} to be ready")
        await board.submit(board.delivery("a-1"))
        status, task = await board.get("/v1/tasks/a-1?queue=mail&wait=60")
        assert (status, task["state"]) == (200, "succeeded")
    finally:
        for service in system.services.values():
            service.process.kill9()
        if not server.process.running:
            await server.start()
