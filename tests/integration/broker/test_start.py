"""``start.lua``: every verdict, and the one place where an attempt is counted."""

import pytest

from app.broker.generation import load_paused
from app.names import new_token
from tests.support.broker import FAR_MS, settle_of, start_of
from tests.support.envelopes import envelope


async def fetched(broker, *, consumer="w1", **options):
    await broker.submit(envelope(**options))
    return await broker.fetch_one(consumer)


async def test_run_counts_the_attempt_and_names_the_worker(broker):
    entry = await fetched(broker)
    started = await broker.start(entry)
    assert (started.verdict, started.attempt, started.suspect) == ("run", 1, False)
    task = await broker.task()
    assert (task["state"], task["attempt"], task["worker"]) == ("running", "1", "w1")
    assert task["started"] == str(started.now_ms)


async def test_the_same_wish_again_counts_no_second_attempt(broker):
    wish = start_of(await fetched(broker))
    for _ in range(3):
        (started,) = await broker.delivery.start(broker.token, "w1", [wish])
        assert (started.verdict, started.attempt) == ("run", 1)
    assert (await broker.task())["attempt"] == "1"


async def test_another_wish_for_the_same_entry_is_another_attempt(broker):
    entry = await fetched(broker)
    await broker.start(entry)
    assert (await broker.start(entry)).attempt == 2


async def test_an_entry_of_another_consumer_is_gone(broker):
    entry = await fetched(broker, consumer="w1")
    assert (await broker.start(entry, "w2")).verdict == "gone"
    assert await broker.state() == "queued"
    assert (await broker.start(entry, "w1")).verdict == "run"


async def test_an_entry_that_was_reclaimed_is_gone_for_the_one_who_stalled(broker):
    entry = await fetched(broker, consumer="w1")
    _, (taken,) = await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    assert (await broker.start(taken, "w2", asked=True)).verdict == "run"
    assert (await broker.start(entry, "w1")).verdict == "gone"
    assert (await broker.task())["attempt"] == "1"


async def test_an_entry_whose_hash_names_another_is_a_leftover_and_removed(broker):
    entry = await fetched(broker)
    await broker.raw.hset(broker.keys.task("a"), "entry", "9-9")
    assert (await broker.start(entry)).verdict == "gone"
    assert await broker.ready_ids() == []
    assert await broker.pending() == {}


async def test_an_entry_of_a_lower_run_is_a_leftover_and_removed(broker):
    entry = await fetched(broker)
    await broker.restore(envelope(run=2))
    # restore.lua takes the place of the lower run with it; this one comes from a stale copy.
    assert await broker.pending() == {}
    assert (await broker.start(entry)).verdict == "gone"
    assert await broker.ready_ids() == ["a"]
    (second,) = await broker.fetch()
    assert (second.run, (await broker.start(second, asked=True)).verdict) == (2, "run")


async def test_an_entry_of_another_run_than_its_hash_is_a_leftover(broker):
    entry = await fetched(broker)
    await broker.raw.hset(broker.keys.task("a"), "run", 2)
    assert (await broker.start(entry)).verdict == "gone"
    assert (await broker.task())["attempt"] == "0"


async def test_a_settled_task_does_not_start(broker):
    entry = await fetched(broker)
    await broker.settle(settle_of(entry))
    assert (await broker.start(entry)).verdict == "gone"
    assert await broker.state() == "succeeded"


async def test_an_expired_task_is_not_run(broker):
    entry = await fetched(broker, expiresAt=1)
    started = await broker.start(entry, expires_at_ms=1)
    assert (started.verdict, started.attempt) == ("expired", 0)
    assert await broker.state() == "queued"
    assert await broker.pending() == {entry.entry_id: "w1"}


async def test_a_task_that_expires_later_runs(broker):
    entry = await fetched(broker)
    assert (await broker.start(entry, expires_at_ms=FAR_MS)).verdict == "run"


async def test_no_attempt_is_begun_beyond_the_most(broker):
    entry = await fetched(broker)
    for attempt in (1, 2):
        assert (await broker.start(entry, attempts_max=2)).attempt == attempt
    started = await broker.start(entry, attempts_max=2)
    assert (started.verdict, started.attempt) == ("exhausted", 2)
    assert (await broker.task())["attempt"] == "2"


async def test_attempts_in_the_ledger_count_towards_the_most(broker):
    entry = await fetched(broker)
    started = await broker.start(entry, asked=True, ledger_attempt=3, attempts_max=3)
    assert (started.verdict, started.attempt) == ("exhausted", 3)


async def test_the_greater_attempt_of_ledger_and_hash_is_continued(broker):
    entry = await fetched(broker)
    assert (await broker.start(entry, asked=True, ledger_attempt=4, attempts_max=9)).attempt == 5
    assert (await broker.start(entry, asked=True, ledger_attempt=1, attempts_max=9)).attempt == 6


async def test_a_retry_that_is_not_due_by_the_ledger_is_delayed_again(broker):
    await broker.restore(envelope())
    entry = await broker.fetch_one()
    started = await broker.start(entry, asked=True, ledger_attempt=1, ledger_due_ms=FAR_MS)
    assert (started.verdict, started.attempt) == ("later", 1)
    task = await broker.task()
    assert (task["state"], task["place"], task["attempt"]) == ("retrying", "delayed", "1")
    assert await broker.raw.zscore(broker.keys.delayed, "a") == FAR_MS
    assert await broker.raw.sismember(broker.keys.retrying, "a")
    assert await broker.ready_ids() == []
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    again = await broker.start(await broker.fetch_one(), asked=True, ledger_attempt=1)
    assert (again.verdict, again.attempt) == ("run", 2)


async def test_a_due_time_of_an_attempt_long_past_does_not_delay(broker):
    entry = await fetched(broker)
    await broker.start(entry)
    await broker.start(entry)
    started = await broker.start(entry, asked=True, ledger_attempt=1, ledger_due_ms=FAR_MS)
    assert (started.verdict, started.attempt) == ("run", 3)


async def test_a_restored_task_must_be_asked_about_first(broker):
    await broker.restore(envelope())
    entry = await broker.fetch_one()
    started = await broker.start(entry)
    assert (started.verdict, started.suspect) == ("ask", True)
    assert "attempt" not in await broker.task()
    started = await broker.start(entry, asked=True)
    assert (started.verdict, started.suspect) == ("run", True)


async def test_the_suspicion_stays_until_the_task_is_finished(broker):
    await broker.restore(envelope())
    entry = await broker.fetch_one()
    await broker.start(entry, asked=True)
    await broker.delivery.give_back(broker.token, "w1", [(entry, True)])
    assert (await broker.start(await broker.fetch_one())).verdict == "ask"


async def test_an_entry_whose_hash_was_lost_is_suspect(broker):
    entry = await fetched(broker)
    await broker.lose_hash()
    started = await broker.start(entry)
    assert (started.verdict, started.suspect) == ("ask", True)
    assert await broker.task() == {}


async def test_the_hash_that_was_lost_is_made_anew_from_the_entry_and_the_ledger(broker):
    entry = await fetched(broker)
    await broker.lose_hash()
    started = await broker.start(entry, asked=True, ledger_attempt=2, attempts_max=9)
    assert (started.verdict, started.attempt, started.suspect) == ("run", 3, True)
    task = await broker.task()
    assert task["digest"] == envelope().request_digest
    assert (task["suspect"], task["mirrored"], task["place"]) == ("1", "0", "ready")
    assert (await broker.inspect()).standing == "present"


async def test_a_lost_hash_of_a_retry_not_due_comes_back_delayed(broker):
    entry = await fetched(broker)
    await broker.lose_hash()
    wish = {"asked": True, "ledger_attempt": 1, "ledger_due_ms": FAR_MS}
    assert (await broker.start(entry, **wish)).verdict == "later"
    assert (await broker.inspect()).standing == "present"
    (found,) = await broker.intake.look(broker.token, ["a"])
    assert found.envelope == envelope().raw


@pytest.mark.parametrize("loaded", [True, False])
async def test_a_paused_queue_starts_nothing(broker, loaded):
    entry = await fetched(broker)
    await broker.raw.hdel(broker.keys.generation, "paused")
    if loaded:
        await load_paused(broker.redis, broker.keys, broker.token, paused=True)
    assert (await broker.start(entry)).verdict == "paused"
    assert (await broker.task())["attempt"] == "0"


async def test_a_batch_is_answered_in_order(broker):
    await broker.submit(envelope("a"), envelope("b"), envelope("c"))
    a, b, c = await broker.fetch()
    await broker.intake.mark_cancel(broker.token, "b")
    wishes = [start_of(a), start_of(b), start_of(c, asked=True, ledger_attempt=3)]
    started = await broker.delivery.start(broker.token, "w1", wishes)
    assert [each.verdict for each in started] == ["run", "cancel", "exhausted"]


async def test_a_lost_stream_takes_nothing_from_the_others_of_the_batch(broker):
    await broker.submit(envelope("lost", priority="high"), envelope("kept"))
    lost, kept = await broker.fetch()
    await broker.lose_lane(1)
    wishes = [start_of(lost, nonce=new_token()), start_of(kept, nonce=new_token())]
    started = await broker.delivery.start(broker.token, "w1", wishes)
    assert [each.verdict for each in started] == ["gone", "run"]
