"""Runs asked for over HTTP, carried out by the process of the standing rehydrator."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from app.clock import now_ms
from app.ledger.records import RehydrationRecord
from app.lifecycle import cancel
from app.task_queue.rehydrations import RUN_LEASE, TAKEN_WITHIN_MS
from rehydrator import wishes
from rehydrator.wishes import serve_wishes
from tests.integration.rehydrator.world import many
from tests.support.envelopes import QUEUE, TENANT
from tests.support.eventually import eventually

ENDED = {"complete", "partial", "failed"}


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(wishes, "LOOK_EVERY_S", 0.05)


@asynccontextmanager
async def served(world, queue=None):
    task = asyncio.create_task(serve_wishes(world.settings, world.ledger, queue))
    try:
        yield task
    finally:
        await cancel(task)


async def ask(world, name="r1", **members):
    now = now_ms()
    record = RehydrationRecord(name, "requested", now, **{"updated_at_ms": now} | members)
    await world.ledger.put_rehydration(record)


async def ended(world, name="r1"):
    async def look():
        record = await world.ledger.get_rehydration(name)
        return record if record.state in ENDED else None

    return await eventually(look, 90)


async def test_a_wish_is_carried_out_beside_the_service(world):
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.accept(*many(10))
    async with world.service() as service, served(world):
        await service.noted(present=10)
        await ask(world)
        record = await ended(world)
        assert (record.state, record.problems) == ("complete", [])
        assert (record.counts["seen"], record.counts["present"]) == (10, 10)
        # And the service goes on.
        await service.noted(present=20)


async def test_a_wish_restores_what_it_is_about_and_no_more(world):
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.accept(*many(10))
    await world.broker.lose_everything()
    async with served(world):
        await ask(world, dry_run=True)
        dry = await ended(world)
        assert (dry.state, dry.dry_run, dry.counts["restored"]) == ("complete", True, 10)
        assert await world.broker.ready_ids() == []
        await ask(world, "r2", task_ids=["task-3", "task-4"], rate=50.0)
        some = await ended(world, "r2")
        assert (some.counts["restored"], some.task_ids) == (2, ["task-3", "task-4"])
        assert sorted(await world.broker.ready_ids()) == ["task-3", "task-4"]


async def test_a_wish_tells_how_far_it_is(world):
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.accept(*many(60))
    await world.broker.lose_everything()

    async def half_way():
        record = await world.ledger.get_rehydration("r1")
        return record if 0 < record.counts.get("seen", 0) < 60 else None

    async with served(world):
        await ask(world, rate=10.0)
        record = await eventually(half_way)
        assert record.state == "running"
        assert record.counts["total"] == 60
        assert (await ended(world)).counts["restored"] == 60


async def test_what_cannot_be_carried_out_says_why(world):
    async with served(world):
        await ask(world, queue="nobodys")
        record = await ended(world)
        assert record.state == "failed"
        assert "There is no queue nobodys" in record.problems[0]
        assert record.finished_at_ms
        assert await world.ledger.acquire_lease(RUN_LEASE, "another", 60_000)
        await ask(world, "r2")
        record = await ended(world, "r2")
        assert record.state == "failed"
        assert "under way already" in record.problems[0]


async def test_a_wish_nobody_took_in_time_is_left_alone(world):
    await ask(world, updated_at_ms=now_ms() - TAKEN_WITHIN_MS - 1_000)
    await ask(world, "r2", queue="nobodys")
    async with served(world):
        await ended(world, "r2")
        assert (await world.ledger.get_rehydration("r1")).state == "requested"


async def test_a_process_of_one_queue_takes_what_is_about_that_queue(world):
    await ask(world)
    await ask(world, "r2", queue="nobodys")
    async with served(world, "nobodys"):
        await ended(world, "r2")
        assert (await world.ledger.get_rehydration("r1")).state == "requested"


async def test_one_of_two_processes_takes_a_wish(world):
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.accept(*many(5))
    async with served(world), served(world):
        await ask(world)
        record = await ended(world)
        assert (record.state, record.counts["seen"]) == ("complete", 5)
