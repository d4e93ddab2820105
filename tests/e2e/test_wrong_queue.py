"""A mirror queue that is not as Lifeboat needs it: who would lose copies by it stops with a sentence."""

import asyncio

import pytest

from app.amqp.topology import MIRROR_ARGUMENTS, mirror_queue
from app.stack.system import System
from tests.e2e.conftest import COMMAND_WITHIN_S, Board
from tests.support.eventually import eventually

WRONG = {
    "a delivery limit that drops copies": (
        {"x-delivery-limit": 20},
        "x-delivery-limit is 20, not 1000000",
    ),
    # The broker takes it in silence, and only a read-back sees it.
    "a misspelt argument": ({"x-delivery-limt": 5}, "x-delivery-limt is 5, not none"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_it_stops_the_mirror_and_whoever_rehydrates(
    wrong, stack, environment, receiver, env_name, tmp_path
):
    arguments, words = WRONG[wrong]
    await stack.rabbitmq.manage(
        "PUT",
        f"/api/queues/{env_name}/{mirror_queue('mail')}",
        {"durable": True, "arguments": {**MIRROR_ARGUMENTS, **arguments}},
    )
    board = Board(stack, System(tmp_path / "log", environment), environment, *receiver)
    try:
        await board.service("api").start()
        await board.submit(board.delivery("a-1", durability="fast"))
        stopping = [board.service(name).process for name in ("mirror", "rehydrator")]
        for process in stopping:
            process.start()
        for process in stopping:
            await eventually(lambda process=process: not process.running, within_s=60)
            assert process.exit_code == 1
            assert f"{mirror_queue('mail')} exists with other arguments" in process.log.read_text()
            assert words in process.log.read_text()
        command = board.lifeboat("rehydrate", "--queue", "mail")
        _, said = await asyncio.to_thread(command.communicate, timeout=COMMAND_WITHIN_S)
        assert command.returncode == 1
        assert words in said
        assert board.service("api").process.running
    finally:
        for service in board.system.services.values():
            service.process.kill9()
