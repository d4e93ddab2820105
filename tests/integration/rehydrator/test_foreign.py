"""Another system's copies: the process stops with a sentence, and nothing was done."""

import pytest

from app.errors import EnvMismatch, LedgerMismatch
from tests.support.envelopes import envelope
from tests.support.eventually import eventually


async def sentence_of(service):
    await eventually(service.task.done)
    return service.task.exception()


@pytest.mark.parametrize(
    ("origin", "error"),
    [({"env": "other"}, EnvMismatch), ({"ledger": "other-ledger"}, LedgerMismatch)],
)
async def test_a_foreign_copy_stops_the_service(world, origin, error):
    await world.copy(envelope("a"), **origin)
    async with world.service() as service:
        found = await sentence_of(service)
    assert isinstance(found, error)
    assert "Nothing was acked or restored" in str(found)
    assert await world.broker.task("a") == {}


async def test_redis_of_another_ledger_stops_the_service(world):
    await world.broker.raw.hset(world.broker.keys.generation, "ledger", "other-ledger")
    await world.copy(envelope("a"))
    async with world.service() as service:
        assert isinstance(await sentence_of(service), LedgerMismatch)
    assert await world.broker.task("a") == {}


async def test_another_ledgers_copies_can_be_adopted(world):
    await world.copy(envelope("a"), ledger="other-ledger")
    async with world.service(adopt_ledger=True) as service:
        await service.noted(restored=1)


async def test_a_copy_that_names_no_ledger_is_taken(world):
    await world.copy(envelope("a"), ledger="")
    async with world.service() as service:
        await service.noted(restored=1)
