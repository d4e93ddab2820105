"""What ``settle.lua`` announces, and who hears it."""

import asyncio

import pytest

from app.broker.finished import FinishedTasks
from app.broker.keys import QueueKeys
from app.lifecycle import cancel
from app.names import QueueName
from app.state import TaskState
from tests.support.broker import FAR_MS, settle_of, settle_unseen
from tests.support.envelopes import TENANT, envelope
from tests.support.eventually import eventually


@pytest.fixture
async def told(redis, broker, env_name):
    """(channel, ids) of each announcement, from now on."""
    told = []
    finished = FinishedTasks(redis, env_name, TENANT)
    task = asyncio.create_task(finished.follow(lambda *what: told.append(what)))

    async def subscribed():
        return await broker.raw.publish(broker.keys.finished_channel, "first")

    await eventually(subscribed)
    await eventually(lambda: told)
    told.clear()
    yield told
    await cancel(task)


async def ids(broker, told):
    """All ids told up to a mark of the test's own."""
    await broker.raw.publish(broker.keys.finished_channel, "mark")
    await eventually(lambda: ["mark"] in [each for _, each in told])
    return [task_id for _, each in told for task_id in each if task_id != "mark"]


async def test_a_settled_task_is_announced_on_its_queues_channel(broker, told):
    await broker.settle(settle_of(await broker.running()))
    assert await ids(broker, told) == ["a"]
    assert {channel for channel, _ in told} == {broker.keys.finished_channel}


async def test_a_batch_is_one_announcement(broker, told):
    a, b = await broker.running("a"), await broker.running("b:1")
    await broker.settle(settle_of(a), settle_of(b, TaskState.DEAD))
    assert await ids(broker, told) == ["a", "b:1"]
    assert told[0][1] == ["a", "b:1"]


async def test_a_delayed_task_that_is_cancelled_is_announced(broker, told):
    await broker.submit(envelope(notBefore=FAR_MS))
    await broker.settle(settle_unseen("a", state=TaskState.CANCELLED))
    assert await ids(broker, told) == ["a"]


async def test_a_task_whose_hash_was_lost_is_announced(broker, told):
    entry = await broker.running()
    await broker.lose_hash()
    await broker.settle(settle_of(entry))
    assert await ids(broker, told) == ["a"]


async def test_what_was_settled_before_is_not_announced_again(broker, told):
    entry = await broker.running()
    await broker.settle(settle_of(entry))
    await broker.settle(settle_of(entry))
    assert await ids(broker, told) == ["a"]


async def test_a_task_that_is_open_in_a_later_run_is_not_announced(broker, told):
    await broker.restore(envelope(run=2))
    await broker.settle(settle_unseen("a", run=1))
    await broker.settle()
    assert await ids(broker, told) == []


async def test_only_this_tenants_queues_are_followed_but_all_of_them(broker, told):
    for tenant, queue in (("other", "mail"), (TENANT, "sms")):
        channel = QueueKeys(broker.env, QueueName(tenant, queue)).finished_channel
        await broker.raw.publish(channel, f"of-{tenant}")
    assert await ids(broker, told) == [f"of-{TENANT}"]
