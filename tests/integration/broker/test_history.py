"""``sight.lua``, ``pend.lua``, ``keep_since.lua``: how far a history got, and what was lost of it."""

import pytest

from app.broker.generation import attach, complete
from app.broker.history import keep_since, pend, sight
from app.errors import StaleGeneration
from tests.support.envelopes import envelope


async def seen(broker):
    return await sight(broker.redis, broker.keys, broker.token)


async def test_a_new_queue_has_no_history(broker):
    found = await seen(broker)
    assert (found.previous, found.pending, found.watermark) == ("", True, None)
    assert "journal" not in found.streams


async def test_what_was_added_stays_counted_when_it_has_left(broker):
    await broker.submit(envelope("a"), envelope("b", priority="high"))
    await broker.confirm()
    await broker.submit(envelope("c"))
    last = (await broker.journal_ids())[-1]
    found = await seen(broker)
    assert found.streams["journal"] == (last, 3)
    assert found.streams["ready:high"][1] == 1
    assert found.streams["ready:normal"][1] == 2
    assert found.watermark < last


async def test_a_stream_that_begins_anew_has_fewer_entries(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.raw.delete(broker.keys.journal)
    assert "journal" not in (await seen(broker)).streams
    await broker.submit(envelope("c"))
    assert (await seen(broker)).streams["journal"][1] == 1


async def test_a_later_generation_names_the_one_before(broker):
    earlier = broker.token
    await broker.restart()
    assert (await seen(broker)).previous == earlier
    await broker.lose_everything()
    assert (await seen(broker)).previous == ""


async def test_pending_again_until_complete(broker):
    await complete(broker.redis, broker.keys, broker.token)
    await broker.raw.hset(broker.keys.generation, "since", 12_345)
    assert not (await seen(broker)).pending
    await pend(broker.redis, broker.keys, broker.token)
    assert (await seen(broker)).pending
    generation = await attach(broker.redis, broker.keys)
    assert generation.pending
    assert generation.since_ms > 12_345
    await complete(broker.redis, broker.keys, broker.token)
    assert not (await seen(broker)).pending


async def test_since_stays_over_a_restart_that_lost_nothing(broker):
    first = await attach(broker.redis, broker.keys)
    await broker.raw.hset(broker.keys.generation, "since", 12_345)
    await broker.restart()
    assert (await attach(broker.redis, broker.keys)).since_ms >= first.since_ms
    for _ in range(2):
        assert await keep_since(broker.redis, broker.keys, broker.token) == 12_345
    assert (await attach(broker.redis, broker.keys)).since_ms == 12_345


async def test_a_first_generation_keeps_its_own_since(broker):
    first = await attach(broker.redis, broker.keys)
    assert await keep_since(broker.redis, broker.keys, broker.token) == first.since_ms


@pytest.mark.parametrize("verb", [sight, pend, keep_since])
async def test_another_history_is_refused(broker, verb):
    token = broker.token
    await broker.restart()
    with pytest.raises(StaleGeneration):
        await verb(broker.redis, broker.keys, token)
