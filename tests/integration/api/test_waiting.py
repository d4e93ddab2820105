"""Waiting for a task: woken by an announcement, swept up where one was lost, never by polling."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from app.api.routes.tasks import rules_of
from app.broker.connection import RedisConnection
from app.broker.delivery import Settle
from app.clock import now_ms
from app.ledger.opening import ledger_of
from app.lifecycle import cancel
from app.state import TaskState
from app.task_queue import finishing
from app.task_queue.request import Origin, read_request
from app.task_queue.task_queue import TaskQueue
from tests.integration.api.api import TASK
from tests.integration.api.test_batch import calls_of_scripts
from tests.support.eventually import eventually

LONG_S = 60
TASKS = 1_000
WAITERS_A_TASK = 10
CALLS_MAX = 1_000
"""Ten thousand looks before and after, 32 a call, and what the test does itself."""


@asynccontextmanager
async def task_queue_of(settings):
    redis, ledger = RedisConnection.from_settings(settings), ledger_of(settings)
    queue = TaskQueue(settings, redis, ledger)
    await queue.try_open()
    running = asyncio.create_task(queue.run())
    yield queue
    await cancel(running)
    await queue.close()
    await ledger.close()
    await redis.close()


async def finish_all(stores, count):
    """Take and settle every task, many at a time, as a worker does."""
    delivery, token = stores.delivery(), await stores.token()
    while count:
        entries = (await delivery.fetch(token, "w1", 500)).entries
        for entry in entries:
            await stores.record(entry.envelope)
        await delivery.settle(
            token,
            [Settle(e.task_id, e.lane, e.entry_id, e.run, TaskState.SUCCEEDED) for e in entries],
        )
        count -= len(entries)


async def listens(stores):
    channels = await stores.redis.redis.pubsub_numpat()
    return channels >= 2


async def test_ten_thousand_waiters_share_their_looks_and_do_not_poll(
    settings_of, private_redis, sqlite_path, stores_of, monkeypatch
):
    # A sweep looks at each of them: how many there are is a matter of time.
    monkeypatch.setattr(finishing, "SWEEP_EVERY_S", LONG_S)
    settings = settings_of(redis_url=private_redis.url)
    async with task_queue_of(settings) as queue, stores_of(settings) as stores:
        await eventually(lambda: listens(stores))
        bodies = [TASK | {"taskId": f"t{n}"} for n in range(TASKS)]
        rules = rules_of(settings)
        await queue.submit_many([read_request(b, rules, Origin("http"), now_ms()) for b in bodies])
        before = await calls_of_scripts(stores)
        waiting = [
            asyncio.create_task(queue.get(body["taskId"], "default", LONG_S))
            for body in bodies
            for _ in range(WAITERS_A_TASK)
        ]

        await eventually(lambda: queue.waiters == len(waiting), within_s=100)
        await finish_all(stores, TASKS)
        tasks = await asyncio.gather(*waiting)
        assert {task["state"] for task in tasks} == {"succeeded"}
        assert await calls_of_scripts(stores) - before <= CALLS_MAX


async def test_an_end_that_was_not_announced_is_found_by_the_sweep(api, stores, monkeypatch):
    monkeypatch.setattr(finishing, "SWEEP_EVERY_S", 0.1)
    await api.submit(taskId="t1")
    waiting = asyncio.create_task(api.get(f"/v1/tasks/t1?queue=default&wait={LONG_S}"))
    ((_, fields),) = await stores.redis.redis.xrange(stores.keys().lanes[1])
    await stores.record(fields[b"envelope"])
    await stores.redis.redis.delete(stores.keys().task("t1"))
    assert (await waiting).document["state"] == "succeeded"


@pytest.mark.parametrize("query", [f"?wait={LONG_S}", f"?queue=default&wait={LONG_S}"])
async def test_a_server_that_stops_answers_those_who_wait(api, query):
    await api.submit(taskId="t1")
    waiting = asyncio.create_task(api.get(f"/v1/tasks/t1{query}"))
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    api.serving.cancel()
    answer = await asyncio.wait_for(waiting, 30)
    assert (answer.status, answer.document["state"]) == (200, "queued")


async def test_a_preferred_wait_is_answered_as_soon_as_the_task_has_ended(api, stores):
    sent = asyncio.create_task(api.submit(taskId="t1", headers={"Prefer": f"wait={LONG_S}"}))
    await eventually(lambda: stores.redis.redis.xlen(stores.keys().lanes[1]))
    await stores.run_one()
    answer = await sent
    assert (answer.status, answer.document["state"]) == (200, "succeeded")
    assert answer.document["disposition"] == "created"
