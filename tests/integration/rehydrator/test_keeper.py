"""The quarantine is held, and let go copy by copy once a person has dealt with its record."""

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from app.amqp.connection import open_channel
from app.amqp.message import copy_publication
from app.amqp.topology import QUARANTINE, mirror_queue
from app.lifecycle import cancel, wait_for
from rehydrator import keeper
from rehydrator.keeper import KeeperPace, QuarantineKeeper
from rehydrator.stores import open_stores
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually

FAST = KeeperPace(look_s=0.1, retry_s=0.1, lease_s=0.1)


class Kept:
    def __init__(self, stores, pace):
        self.stores = stores
        self.task = asyncio.create_task(QuarantineKeeper(stores, pace).run())

    def figures(self):
        """{(tenant, queue): how many} as the metrics show them."""
        (family,) = self.stores.metrics.quarantined_tasks.collect()
        return {
            (each.labels["tenant"], each.labels["queue"]): each.value for each in family.samples
        }


@asynccontextmanager
async def kept(world, *, pace=FAST, **changes):
    async with AsyncExitStack() as stack:
        settings = world.settings.model_copy(update=changes)
        stores, _ = open_stores(settings, stack, process="rehydrator")
        await wait_for("the ledger", stores.ledger.open)
        keeping = Kept(stores, pace)
        try:
            yield keeping
        finally:
            await cancel(keeping.task)


def stray(world, name, **headers):
    """A message that somebody put into the quarantine."""
    made = copy_publication(envelope(name), world.origin(), 7)
    return made._replace(exchange="", routing_key=QUARANTINE, headers={**made.headers, **headers})


async def lying(world):
    """Messages in the quarantine, held or not, by the management API's own counts."""
    async with open_channel(world.connection) as channel:
        found = await channel.get_queue(QUARANTINE, ensure=True)
    return found.declaration_result.message_count


async def holds_all(world):
    return await lying(world) == 0


async def put_aside(world, *names):
    """Unreadable copies, put aside by the standing service; {task id: record id}."""
    await world.publish(
        *[
            copy_publication(envelope(name), world.origin(), 7)._replace(
                body=b'{"schema":1,"changed":true}'
            )
            for name in names
        ]
    )
    async with world.service() as service:
        await service.noted(quarantined=len(names))
    return {each.task_id: each.id for each in await world.ledger.quarantined(1_000)}


async def test_only_what_is_resolved_leaves(world, let_go):
    ids = await put_aside(world, "a", "b", "c")
    async with kept(world):
        await eventually(lambda: holds_all(world))
        await world.ledger.resolve_quarantined(ids["a"], "requeued", "ada", 1)
        await world.ledger.resolve_quarantined(ids["c"], "discarded", "ada", 1)
        await let_go(ids["a"], ids["c"])
    # What was held comes back when nobody holds it.
    await eventually(lambda: lies(world, 1))


async def lies(world, n):
    return await lying(world) == n


@pytest.fixture
def let_go(caplog):
    """Wait until these records' messages were acked."""
    caplog.set_level(logging.INFO)

    async def let_go(*ids):
        await eventually(lambda: all(f"let {each} go" in caplog.text for each in ids))

    return let_go


async def test_what_was_resolved_while_nobody_kept_it_leaves_at_the_next_start(world, let_go):
    ids = await put_aside(world, "a", "b")
    await world.ledger.resolve_quarantined(ids["b"], "discarded", "ada", 1)
    async with kept(world):
        await let_go(ids["b"])
    await eventually(lambda: lies(world, 1))


async def test_a_message_without_a_record_gets_one_first(world):
    await world.publish(
        stray(world, "named", **{"x-quarantine-id": "lost-1", "x-quarantine-reason": "SOMETHING"}),
        stray(world, "nameless"),
    )
    async with kept(world):
        await eventually(lambda: recorded(world, 2))
    records = {each.task_id: each for each in await world.ledger.quarantined(10)}
    named, nameless = records["named"], records["nameless"]
    assert (named.id, named.reason) == ("lost-1", "SOMETHING")
    assert (nameless.reason, nameless.tenant, nameless.queue) == ("DEAD_LETTERED", TENANT, QUEUE)
    assert nameless.body == envelope("nameless").raw
    # The same message gets the same record, whoever takes it.
    async with kept(world):
        await eventually(lambda: holds_all(world))
    assert await world.ledger.count_quarantined() == 2


async def recorded(world, n):
    return await world.ledger.count_quarantined() == n


async def test_a_dead_letter_of_the_broker_is_recorded_and_may_go(world, let_go):
    await world.copy(envelope("dead-letter"))
    async with open_channel(world.connection) as channel:
        queue = await channel.get_queue(mirror_queue(QUEUE), ensure=False)
        message = await queue.get()
        await message.reject(requeue=False)
        async with kept(world):
            await eventually(lambda: recorded(world, 1))
            (record,) = await world.ledger.quarantined(1)
            assert (record.task_id, record.reason) == ("dead-letter", "DEAD_LETTERED")
            await world.ledger.resolve_quarantined(record.id, "discarded", "ada", 1)
            await let_go(record.id)
    assert await lying(world) == 0


async def test_a_full_window_does_not_hide_what_lies_behind_it(world, monkeypatch, let_go):
    monkeypatch.setattr(keeper, "PREFETCH", 3)
    ids = await put_aside(world, *(f"t{n}" for n in range(10)))
    async with kept(world):
        await eventually(lambda: holds_all(world))
        for each in ids.values():
            await world.ledger.resolve_quarantined(each, "discarded", "ada", 1)
        await let_go(*ids.values())
    assert await lying(world) == 0


async def test_the_figures_are_those_of_the_ledger(world):
    ids = await put_aside(world, "a", "b")
    odd = await world.ledger.get_quarantined(ids["a"])
    await world.ledger.put_quarantine(replace(odd, id="odd", tenant="No Tenant", queue=""))
    async with kept(world) as keeping:
        await eventually(
            lambda: keeping.figures() == {(TENANT, QUEUE): 2, ("unknown", "unknown"): 1}
        )
        for each in ids.values():
            await world.ledger.resolve_quarantined(each, "discarded", "ada", 1)
        await eventually(lambda: keeping.figures()[TENANT, QUEUE] == 0)
    assert keeping.figures() == {}


async def test_one_keeps_it_and_another_takes_over(world):
    await put_aside(world, "a")
    async with kept(world) as first:
        await eventually(lambda: bool(first.figures()))
        async with kept(world) as second:
            await asyncio.sleep(0.5)
            assert second.figures() == {}
            await cancel(first.task)
            await eventually(lambda: bool(second.figures()))


async def test_a_lost_connection_is_opened_anew(world, proxy, let_go):
    ids = await put_aside(world, "a", "b")
    async with kept(world, rabbitmq_url=proxy.url):
        await eventually(lambda: holds_all(world))
        proxy.cut()
        await world.ledger.resolve_quarantined(ids["a"], "discarded", "ada", 1)
        await let_go(ids["a"])
    await eventually(lambda: lies(world, 1))


async def test_while_the_ledger_is_away_nothing_leaves(world, let_go):
    ids = await put_aside(world, "a")
    async with kept(world) as keeping:
        await eventually(lambda: holds_all(world))
        with world.locked_ledger():
            await asyncio.sleep(2)
            assert not keeping.task.done()
        await world.ledger.resolve_quarantined(ids["a"], "discarded", "ada", 1)
        await let_go(ids["a"])
    await eventually(lambda: lies(world, 0))


async def test_an_operator_who_closes_the_connection_is_left_alone(world, force_close):
    await put_aside(world, "a")
    async with kept(world, pace=replace(FAST, operator_away_s=60)):
        await eventually(lambda: holds_all(world))
        await force_close("rehydrator-quarantine")
        await eventually(lambda: lies(world, 1))
        await asyncio.sleep(1)
        assert await lying(world) == 1


async def test_it_is_taken_anew_before_the_broker_takes_it_away(world, let_go):
    ids = await put_aside(world, "a")
    async with kept(world, pace=replace(FAST, hold_s=0.3)):
        await asyncio.sleep(1)
        await world.ledger.resolve_quarantined(ids["a"], "discarded", "ada", 1)
        await let_go(ids["a"])
    assert await lying(world) == 0
