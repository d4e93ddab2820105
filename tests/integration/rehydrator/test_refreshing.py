"""Refresh: an old copy leaves only when a newer one is confirmed in the same generation (rule 6)."""

import asyncio

import pytest

from app.amqp.message import Origin
from rehydrator.refreshing import order
from rehydrator.source import CopySource
from tests.support.envelopes import QUEUE, envelope
from tests.support.eventually import eventually


@pytest.fixture
async def world(make_world):
    return await make_world(refresh_after_ms=1_000)


@pytest.fixture
async def slow_world(make_world):
    """Asked for once, a copy is not asked for again while the test does what must come first."""
    return await make_world(refresh_after_ms=5_000)


async def journalled(world, n=1):
    """Wait until the journal holds so many entries to be published, or more."""

    async def there():
        return len(await world.broker.journal_ids()) >= n

    await eventually(there)


async def refreshed(service, n=1):
    await eventually(lambda: service.total(service.metrics.copies_refreshed) >= n)


async def copies(world):
    """Who made the copies that lie in the queue now: their journal ids."""
    await world.mark("behind all of them")
    source, found = await CopySource.open(world.rabbitmq_url, QUEUE, prefetch=100), []
    try:
        while not any(each.headers.get("x-fence") == "behind all of them" for each in found):
            found += await source.batch(100, 20_000)
    finally:
        await source.hand_back()
    return [each.headers["x-journal-id"] for each in found if "x-journal-id" in each.headers]


async def test_an_old_copy_makes_way_for_a_new_one(world):
    await world.accept(envelope("a"))
    first = (await world.broker.task("a"))["jid"]
    async with world.service() as service:
        await service.noted(present=1)
        await journalled(world)
        assert service.total(service.metrics.copies_refreshed) == 0
        await world.mirror()
        await refreshed(service)
        await service.noted(present=2)
    (left,) = await copies(world)
    assert left not in ("", first)


async def test_without_a_confirm_the_old_copy_stays(world):
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await journalled(world)
        await asyncio.sleep(2.5)
        assert service.total(service.metrics.copies_refreshed) == 0
        # However long it takes, one entry is enough.
        assert len(await world.broker.journal_ids()) == 1
    assert len(await copies(world)) == 1


async def test_the_confirm_of_the_held_copy_itself_lets_nothing_go(world):
    """Violation 5: published and held, its own confirm comes only now."""
    await world.broker.submit(envelope("a"))
    (own,) = await world.broker.journal_ids()
    entries, _ = await world.broker.journal.read(world.broker.token, None, 10)
    await world.copy(envelope("a"), generation=world.broker.token, journal_id=own)
    async with world.service() as service:
        await service.noted(present=1)
        await journalled(world, 2)
        await world.broker.journal.trim(world.broker.token, entries)
        await asyncio.sleep(1)
        assert service.total(service.metrics.copies_refreshed) == 0
        await world.mirror()
        await refreshed(service)
        await service.noted(present=2)
    assert len(await copies(world)) == 1


async def test_a_journal_id_of_another_history_lets_nothing_go(slow_world):
    """Violation 2: the wait is for an id of a journal that a wipe took away."""
    world = slow_world
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await journalled(world)
        await world.broker.lose_everything()
        await service.noted(restored=1)
        await world.broker.submit(envelope("b"))
        await world.mirror()
        await service.noted(present=1)
        assert service.total(service.metrics.copies_refreshed) == 0
    assert len(await copies(world)) == 2


async def test_a_watermark_that_passed_a_lost_journal_lets_nothing_go(slow_world):
    """The journal key is lost: ids behind it are confirmed, the awaited one never was."""
    world = slow_world
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await journalled(world)
        await world.broker.raw.delete(world.broker.keys.journal)
        await world.accept(envelope("b"))
        await asyncio.sleep(0.5)
        assert service.total(service.metrics.copies_refreshed) == 0

        # It is not forgotten either: journaled anew, confirmed, let go.
        async def mirrored():
            await world.mirror()
            return service.total(service.metrics.copies_refreshed) >= 1

        await eventually(mirrored)
        await service.noted(present=3)
    assert len(await copies(world)) >= 2


async def test_an_entry_that_was_lost_is_never_confirmed_however_far_the_watermark(
    world, open_copies
):
    await world.accept(envelope("a"))
    opening = await open_copies()
    await eventually(lambda: opening.take(10, 100))
    await opening.look(ask_all=False)
    (copy,) = opening.holdings.held

    async def awaited():
        await opening.sweep(ask_all=False)
        return copy.awaited

    awaited_id = await eventually(awaited)
    await world.broker.lose_journal()
    await world.accept(envelope("b"))
    _, watermark = await world.broker.recovery.watermark()
    assert order(watermark) > order(awaited_id)
    await opening.sweep(ask_all=False)
    assert copy in opening.holdings.held
    await opening.close()
    assert len(await copies(world)) == 2


async def test_after_a_restart_that_kept_the_data_the_only_copy_stays(slow_world):
    """The hash still names the copy's own journal id, of the generation before."""
    world = slow_world
    await world.accept(envelope("a"))
    await world.broker.restart()
    async with world.service() as service:
        await service.noted(present=1)
        await world.accept(envelope("b"))
        await asyncio.sleep(0.5)
        assert service.total(service.metrics.copies_refreshed) == 0
        await journalled(world)
        await world.mirror()
        await refreshed(service)
    assert len(await copies(world)) >= 2


async def test_a_copy_redis_never_journaled_is_refreshed_too(world):
    await world.copy(envelope("a"))
    assert world.origin() == Origin(world.settings.env, world.ledger.identity)
    async with world.service() as service:
        await service.noted(restored=1)
        await journalled(world)
        await world.mirror()
        await refreshed(service)
    (left,) = await copies(world)
    assert left


async def test_a_finished_copy_is_retired_not_refreshed(world):
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await journalled(world)
        await world.finish(envelope("a"))
        await service.noted(finished=1)
    assert service.total(service.metrics.copies_refreshed) == 0
