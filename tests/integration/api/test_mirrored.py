"""Submits at ``mirrored`` with a real mirror and a real broker behind them."""

import asyncio

import pytest

from app.lifecycle import cancel
from mirror.process import run_mirror
from tests.support.eventually import eventually


@pytest.fixture
async def mirror(settings_of, rabbitmq_url):
    settings = settings_of(rabbitmq_url=rabbitmq_url, mirror_port=0)
    running = asyncio.create_task(run_mirror(settings))
    yield running
    await cancel(running)


async def test_many_submits_are_all_answered_once_their_copies_are_confirmed(
    start, mirror, rabbitmq_url, rabbitmq_management_url
):
    api = await start(
        rabbitmq_url=rabbitmq_url,
        rabbitmq_management_url=rabbitmq_management_url,
        confirm_timeout_ms=25_000,
    )
    submits = (api.submit(taskId=f"t{n}", onDegraded="refuse") for n in range(300))
    answers = await asyncio.gather(*submits)
    assert {answer.status for answer in answers} == {202}
    assert {answer.document["durability"]["reached"] for answer in answers} == {"mirrored"}
    (state,) = (await api.get("/v1/mirror")).document["items"]
    assert (state["unmirroredTasks"], state["confirmed"]) == (0, 300)
    assert state["leader"]

    async def copies():
        return (await api.get("/v1/queues/default")).document["copies"] == 300

    await eventually(copies, within_s=60)
