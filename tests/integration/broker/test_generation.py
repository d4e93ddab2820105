"""``attach.lua``, ``load_paused.lua``, ``complete.lua``: which history this Redis has."""

import asyncio

import pytest

from app.broker.generation import attach, complete, load_paused
from app.errors import LedgerMismatch, StaleGeneration
from tests.support.broker import Broker, answering, connect
from tests.support.envelopes import envelope


@pytest.fixture
def fresh(redis, env_name):
    """A queue nobody has attached to."""
    return Broker(redis, env_name)


async def test_the_first_to_attach_begins_a_generation(fresh):
    before_s, _ = await fresh.raw.time()
    generation = await attach(fresh.redis, fresh.keys, "ledger-1")
    assert len(generation.token) == 32
    assert generation.since_ms >= before_s * 1_000
    assert (generation.ledger, generation.paused, generation.pending) == ("ledger-1", None, True)


async def test_all_who_attach_agree(fresh):
    found = await asyncio.gather(*(attach(fresh.redis, fresh.keys, "ledger-1") for _ in range(20)))
    assert len(set(found)) == 1


async def test_who_attaches_later_learns_the_same(fresh):
    first = await attach(fresh.redis, fresh.keys, "ledger-1")
    assert await attach(fresh.redis, fresh.keys) == first


async def test_a_wipe_begins_another_generation(broker):
    earlier = broker.token
    assert await broker.lose_everything() != earlier
    with pytest.raises(StaleGeneration):
        await broker.intake.look(earlier, ["a"])


async def test_data_served_by_another_run_of_the_server_is_another_generation(broker):
    await complete(broker.redis, broker.keys, broker.token)
    first = await attach(broker.redis, broker.keys)
    await broker.raw.hset(broker.keys.generation, "run_id", "of-an-earlier-run")
    second = await attach(broker.redis, broker.keys)
    assert second.token != first.token
    assert second.since_ms >= first.since_ms
    assert second.pending
    assert second.ledger == first.ledger
    # The pause flag may be out of date: it is loaded anew.
    assert (first.paused, second.paused) == (False, None)


async def test_a_restarted_server_refuses_the_token_although_its_data_is_there(
    private_redis, env_name
):
    redis = connect(private_redis.url)
    broker = Broker(redis, env_name)
    earlier = await broker.attach()
    await broker.submit(envelope())
    # A goodbye, so that its file is complete.
    await private_redis.stop()
    await private_redis.start()
    await answering(redis)
    with pytest.raises(StaleGeneration):
        await broker.intake.look(earlier, ["a"])
    assert await broker.attach() != earlier
    (found,) = await broker.intake.look(broker.token, ["a"])
    assert found.fields["state"] == "queued"
    await redis.close()


async def test_another_ledger_is_refused_and_changes_nothing(broker):
    before = await broker.snapshot()
    with pytest.raises(LedgerMismatch, match=r"ledger-1.*--adopt-ledger"):
        await attach(broker.redis, broker.keys, "ledger-2")
    assert await broker.snapshot() == before


async def test_another_ledger_is_refused_after_a_restart_too(broker):
    await broker.raw.hset(broker.keys.generation, "run_id", "of-an-earlier-run")
    with pytest.raises(LedgerMismatch):
        await attach(broker.redis, broker.keys, "ledger-2")


async def test_a_ledger_that_is_away_is_not_another_one(broker):
    assert (await attach(broker.redis, broker.keys, "")).ledger == "ledger-1"


async def test_a_generation_begun_without_the_ledger_learns_it_later(fresh):
    assert (await attach(fresh.redis, fresh.keys, "")).ledger == ""
    assert (await attach(fresh.redis, fresh.keys, "ledger-1")).ledger == "ledger-1"


async def test_another_ledger_is_taken_when_told_so(broker):
    generation = await attach(broker.redis, broker.keys, "ledger-2", adopt=True)
    assert generation.ledger == "ledger-2"
    assert generation.token == broker.token
    with pytest.raises(LedgerMismatch):
        await attach(broker.redis, broker.keys, "ledger-1")


async def test_the_pause_flag_is_loaded_once_and_the_newer_word_stays(fresh):
    token = (await attach(fresh.redis, fresh.keys)).token
    assert await load_paused(fresh.redis, fresh.keys, token, paused=True)
    assert await load_paused(fresh.redis, fresh.keys, token, paused=False)
    assert (await attach(fresh.redis, fresh.keys)).paused is True


async def test_a_generation_is_pending_until_it_is_completed(broker):
    assert (await attach(broker.redis, broker.keys)).pending
    await complete(broker.redis, broker.keys, broker.token)
    assert not (await attach(broker.redis, broker.keys)).pending


async def test_queues_have_generations_of_their_own(redis, env_name):
    one, other = Broker(redis, env_name), Broker(redis, env_name + "x")
    assert await one.attach() != await other.attach()
