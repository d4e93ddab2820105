"""With one store away: what is still answered, how soon, and that the API comes back by itself."""

import asyncio
import os
import signal
import sqlite3
import time
from contextlib import contextmanager, suppress
from itertools import count

import pytest
from redis.asyncio import Redis

from app.errors import Unavailable
from app.ledger.sqlite import SqliteLedger
from app.lifecycle import cancel
from app.task_queue.ledger_gate import LedgerGate
from tests.support.eventually import eventually

FAR_MS = 25_000
"""A deadline that is not waited for: what is away is known to be."""
PROMISED_S = 1.0
SLACK = 10
"""Two cores are shared with other tests."""


@contextmanager
def locked(path):
    """A ledger that gives no answer: somebody else writes and does not stop."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.fixture
async def own_redis_api(start, private_redis):
    return await start(redis_url=private_redis.url, store_timeout_ms=1_000)


async def is_accepted(api, **task):
    return (await api.submit(**task)).status == 202


async def ready(api):
    answer = await api.get("/readyz")
    return answer.status, answer.document["checks"]["redis"] == "ok"


async def test_redis_away_is_said_within_a_second_and_forgotten_when_it_returns(
    start, private_redis
):
    api = await start(redis_url=private_redis.url, store_timeout_ms=FAR_MS)
    await api.submit(taskId="t1")
    private_redis.kill9()
    for _ in range(3):
        began = time.monotonic()
        refused = await api.submit(taskId="t2")
        assert time.monotonic() - began < PROMISED_S * SLACK
        assert (refused.status, refused.code) == (503, "unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
    assert await ready(api) == (503, False)
    assert (await api.get("/v1/queues/default")).status == 503
    assert (await api.get("/livez")).status == 200
    await private_redis.start()
    await eventually(lambda: is_accepted(api))
    assert await ready(api) == (200, True)


async def test_many_submits_while_redis_is_away_are_all_answered_in_time(start, private_redis):
    api = await start(redis_url=private_redis.url, store_timeout_ms=FAR_MS)
    await api.submit()
    private_redis.kill9()
    began = time.monotonic()
    answers = await asyncio.gather(*(api.submit() for _ in range(100)))
    assert time.monotonic() - began < PROMISED_S * SLACK
    assert {answer.status for answer in answers} == {503}


async def test_a_redis_that_is_silent_is_answered_by_the_calls_own_deadline(
    own_redis_api, private_redis
):
    await own_redis_api.submit()
    os.kill(private_redis.pid, signal.SIGSTOP)
    try:
        assert (await own_redis_api.submit()).code == "unavailable"
    finally:
        os.kill(private_redis.pid, signal.SIGCONT)
    await eventually(lambda: is_accepted(own_redis_api))


async def test_a_redis_that_is_full_takes_no_submit_and_is_not_ready(own_redis_api, private_redis):
    api = own_redis_api
    await api.submit()
    client = Redis.from_url(private_redis.url)
    await client.config_set("maxmemory", 1)
    assert (await api.submit()).code == "unavailable"
    assert await ready(api) == (503, False)
    await client.config_set("maxmemory", 0)
    await eventually(lambda: is_accepted(api))
    await client.aclose()


async def test_finished_tasks_are_shown_while_redis_is_away(start, private_redis, stores):
    api = await start(redis_url=private_redis.url)
    await stores.ledger.ensure_queue("default", "default", 200)
    accepted = await api.submit(taskId="t1")
    assert accepted.status == 202
    client = Redis.from_url(private_redis.url)
    ((_, fields),) = await client.xrange(stores.keys().lanes[1])
    await client.aclose()
    await stores.record(fields[b"envelope"])
    private_redis.kill9()
    assert (await api.get("/v1/tasks/t1?queue=default")).document["state"] == "succeeded"
    assert (await api.get("/v1/tasks/other?queue=default")).code == "unavailable"


async def test_without_the_ledger_known_queues_accept_and_say_what_was_not_checked(
    start, sqlite_path, stores
):
    api = await start(store_timeout_ms=1_000)
    await api.submit(queue="known")
    with locked(sqlite_path):
        given = await api.submit(queue="known", taskId="t1")
        assert (given.status, given.document["disposition"]) == (202, "unchecked")
        fresh = await api.submit(queue="known")
        assert (fresh.status, fresh.document["disposition"]) == (202, "created")
        assert (await api.submit(queue="known", taskId="t1")).document["disposition"] == "duplicate"
        assert (await api.submit(queue="unknown")).code == "unavailable"
        assert (await api.get("/v1/tasks/t1")).document["state"] == "queued"
        assert (await api.get("/v1/tasks/other?queue=known")).code == "unavailable"
        assert (await api.get("/v1/queues/known")).document["depth"]["dead"] is None
        degraded = await api.get("/readyz")
        assert (degraded.status, degraded.document["status"]) == (200, "degraded")

    ids = (f"t{n}" for n in count(2))

    async def checked():
        answer = await api.submit(queue="known", taskId=next(ids))
        return answer.document["disposition"] == "created"

    await eventually(checked)
    assert (await api.submit(queue="unknown")).status == 202


async def test_a_silent_ledger_takes_only_its_share_of_a_submits_time(sqlite_path):
    ledger = SqliteLedger(sqlite_path, env="test", record_days=30, timeout_ms=60_000)
    gate = LedgerGate(ledger, "the ledger", look_up_within_s=0.3)
    running = asyncio.create_task(gate.run())
    try:
        await eventually(lambda: exists_in(gate, "before"))
        with locked(sqlite_path):
            async with asyncio.timeout(50):
                for _ in range(3):
                    with pytest.raises(Unavailable, match="no answer in time"):
                        await gate.ensure_queue("default", "queue", 200)
        await eventually(lambda: exists_in(gate, "after"))
    finally:
        await cancel(running)
        await ledger.close()


async def exists_in(gate, queue):
    with suppress(Unavailable):
        await gate.ensure_queue("default", queue, 200)
        return True


async def test_an_api_that_starts_without_its_ledger_knows_the_queues_redis_has_seen(
    start, sqlite_path, stores
):
    first = await start()
    await first.submit(queue="known")
    with locked(sqlite_path):
        api = await start(store_timeout_ms=1_000, wait_for_ledger=False)
        await eventually(lambda: is_accepted(api, queue="known"))
        assert (await api.get("/v1/tasks/t1?queue=known")).code == "unavailable"
        assert (await api.submit(queue="unknown")).code == "unavailable"
    await eventually(lambda: is_accepted(api))


async def test_an_api_that_starts_before_its_stores_waits_for_them(
    start, private_redis, tmp_path, caplog
):
    private_redis.kill9()
    folder = tmp_path / "not-yet"
    folder.write_text("a file where a folder shall be")
    with caplog.at_level("INFO"):
        api = await start(
            redis_url=private_redis.url,
            sqlite_path=folder / "ledger.sqlite",
            wait_for_ledger=False,
        )
        assert (await api.submit()).code == "unavailable"
        assert (await api.get("/readyz")).status == 503
        await eventually(lambda: f"Waiting for Redis at {private_redis.url}" in caplog.text)
        assert f"Waiting for the ledger at {folder}" in caplog.text
        folder.unlink()
        await private_redis.start()
        await eventually(lambda: is_accepted(api))
    assert "The API accepts requests at http://127.0.0.1:" in caplog.text
