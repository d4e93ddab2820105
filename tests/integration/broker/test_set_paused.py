"""``set_paused.lua``: no task starts from then on, whatever was fetched before."""

import asyncio

from app.broker.generation import attach, load_paused, set_paused
from tests.support.broker import start_of
from tests.support.envelopes import envelope


async def pause(broker, *, paused=True):
    await set_paused(broker.redis, broker.keys, broker.token, paused=paused)


async def test_a_paused_queue_hands_nothing_out(broker):
    await broker.submit(envelope())
    await pause(broker)
    fetched = await broker.delivery.fetch(broker.token, "w1", 10)
    assert (fetched.flag, fetched.entries) == ("paused", [])
    assert await broker.ready_ids() == ["a"]


async def test_what_was_fetched_before_does_not_start(broker):
    await broker.submit(envelope())
    entry = await broker.fetch_one()
    await pause(broker)
    assert (await broker.start(entry)).verdict == "paused"
    assert (await broker.task())["attempt"] == "0"


async def test_what_runs_already_may_end(broker):
    entry = await broker.running()
    await pause(broker)
    assert await broker.delivery.renew(broker.token, "w1", [entry]) == ["held"]


async def test_a_paused_queue_takes_submits(broker):
    await pause(broker)
    (answer,) = await broker.submit(envelope())
    assert answer.outcome == "created"


async def test_unpaused_it_goes_on(broker):
    await broker.submit(envelope())
    await pause(broker)
    await pause(broker, paused=False)
    assert (await broker.start(await broker.fetch_one())).verdict == "run"


async def test_nothing_starts_after_the_answer_however_many_try(broker):
    await broker.submit(*(envelope(f"t{i}") for i in range(20)))
    entries = await broker.fetch(count=20)
    early = broker.delivery.start(broker.token, "w1", [start_of(each) for each in entries[:10]])
    await asyncio.gather(early, pause(broker))
    late = [(await broker.start(each)).verdict for each in entries[10:]]
    assert late == ["paused"] * 10


async def test_the_newer_word_wins_over_the_one_loaded_from_the_ledger(broker):
    await pause(broker)
    assert await load_paused(broker.redis, broker.keys, broker.token, paused=False)
    await pause(broker, paused=False)
    assert not await load_paused(broker.redis, broker.keys, broker.token, paused=True)


async def test_it_is_said_to_who_attaches(broker):
    await pause(broker)
    assert (await attach(broker.redis, broker.keys)).paused is True


async def test_after_a_wipe_the_flag_comes_from_the_ledger_before_anything_starts(broker):
    await pause(broker)
    await broker.raw.delete(broker.keys.generation)
    await attach(broker.redis, broker.keys, "ledger-1")
    generation = await attach(broker.redis, broker.keys)
    broker.token = generation.token
    assert generation.paused is None
    await broker.submit(envelope())
    assert (await broker.delivery.fetch(broker.token, "w1", 10)).flag == "unloaded"
    assert await load_paused(broker.redis, broker.keys, broker.token, paused=True)
    assert (await broker.delivery.fetch(broker.token, "w1", 10)).flag == "paused"
