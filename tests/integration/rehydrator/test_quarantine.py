"""What nobody may act on is kept for a person: recorded, moved with a confirm, then acked."""

import asyncio
import hashlib

import orjson

from app.amqp.connection import open_channel
from app.amqp.message import copy_publication
from app.amqp.topology import QUARANTINE
from app.lifecycle import cancel
from tests.integration.rehydrator.world import many
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

OTHER = {"to": "somebody else"}


async def messages(world):
    """(headers, body) of what lies in the quarantine; it stays there."""
    async with open_channel(world.connection) as channel:
        queue = await channel.get_queue(QUARANTINE, ensure=False)
        found = []
        while (message := await queue.get(fail=False)) is not None:
            found.append((message.headers, message.body))
        return found


def broken(world, task_id="t", *, body=None, **headers):
    made = copy_publication(envelope(task_id), world.origin(), 7)
    return made._replace(headers={**made.headers, **headers}, body=body or made.body)


def newer(world, task_id="t"):
    """What a Lifeboat of tomorrow publishes."""
    body = orjson.dumps({**orjson.loads(envelope(task_id).raw), "schema": 2})
    digest = hashlib.sha256(body).hexdigest()
    return broken(world, task_id, body=body, **{"x-digest": digest, "x-schema": 2})


async def test_unreadable_copies_go_to_the_quarantine_and_the_others_go_on(world):
    await world.publish(
        broken(world, "differs", body=b'{"schema":1,"changed":true}'),
        newer(world, "newer"),
        broken(world, "elsewhere", **{"x-tenant": "other"}),
    )
    await world.accept(envelope("good"))
    async with world.service() as service:
        await service.noted(present=1, quarantined=3)
        await world.at_rest()
    records, lying = await world.quarantined()
    assert records == {
        "differs": "DIGEST_DIFFERS",
        "newer": "SCHEMA_TOO_NEW",
        "elsewhere": "HEADERS_DIFFER",
    }
    assert lying == 3
    assert await world.ready() == 1
    ids = {each.id for each in await world.ledger.quarantined(10)}
    found = await messages(world)
    assert {headers["x-quarantine-id"] for headers, _ in found} == ids
    assert b'{"schema":1,"changed":true}' in [body for _, body in found]


async def test_a_second_request_under_an_id_is_kept_apart_from_the_one_in_redis(world):
    await world.accept(envelope("a"))
    await world.copy(envelope("a", payload=OTHER))
    async with world.service() as service:
        await service.noted(present=1, quarantined=1)
        await world.at_rest()
    records, lying = await world.quarantined()
    assert (records, lying) == ({"a": "ID_CONFLICT"}, 1)
    assert await world.ready() == 1
    task = await world.broker.task("a")
    assert (task["digest"], task.get("suspect")) == (envelope("a").request_digest, None)


async def test_a_second_request_is_never_acked_as_finished_with_the_first(world):
    await world.record(envelope("a"))
    await world.copy(envelope("a", payload=OTHER))
    async with world.service() as service:
        await service.noted(quarantined=1)
        assert service.count("finished") == 0
    (record,) = await world.ledger.quarantined(10)
    assert (record.reason, record.body) == ("ID_CONFLICT", envelope("a", payload=OTHER).raw)


async def test_of_two_requests_only_redis_lost_the_first_copy_is_restored(world):
    await world.copy(envelope("a"), envelope("a", payload=OTHER))
    async with world.service() as service:
        await service.noted(restored=1, quarantined=1)
        await world.at_rest()
    assert await world.broker.ready_ids() == ["a"]
    assert (await world.broker.task("a"))["digest"] == envelope("a").request_digest
    assert await world.ready() == 1


async def test_a_held_copy_that_comes_into_conflict_is_quarantined_whole(world):
    """Redis lost the task and another request took its id: the held copy's bytes are fetched."""
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await world.at_rest()
        await world.broker.lose_hash("a")
        await world.broker.submit(envelope("a", payload=OTHER))
        await service.noted(quarantined=1)
        await world.at_rest()
    (record,) = await world.ledger.quarantined(10)
    assert (record.reason, record.body) == ("ID_CONFLICT", envelope("a").raw)


async def test_nothing_is_lost_while_the_ledger_takes_no_record(world):
    async with world.service() as service:
        await world.at_rest()
        with world.locked_ledger():
            await world.publish(broken(world, "differs", body=b"x"))
            await asyncio.sleep(2.5)
            assert service.count("quarantined") == 0
            assert await world.ready(QUARANTINE) == 0
            await cancel(service.task)
            # Given back at the end, so it was still in hand.
            await eventually(lambda: world.is_ready(1))
    async with world.service() as service:
        await service.noted(quarantined=1)
    assert await world.ready(QUARANTINE) == 1
    await eventually(lambda: world.is_ready(0))


async def test_without_a_confirm_the_copy_stays(world):
    """The quarantine's queue is gone: the broker returns the message, so nothing is acked."""
    async with world.service() as service:
        await world.at_rest()
        async with open_channel(world.connection) as channel:
            await channel.queue_delete(QUARANTINE)
        await world.publish(broken(world, "differs", body=b"x"))
        await asyncio.sleep(1.5)
        assert service.count("quarantined") == 0
    assert await world.ready() == 1


async def test_many_conflicts_at_once(world):
    n = 50
    await world.accept(*many(n))
    await world.copy(*many(n, payload=OTHER))
    async with world.service() as service:
        await service.noted(present=n, quarantined=n)
        await world.at_rest()
    assert await world.ready(QUARANTINE) == n
    assert await world.ready() == n
