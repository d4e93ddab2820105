"""``give_back_later.lua``: what no worker here knows waits a while, uncounted, and not for ever."""

import asyncio

import pytest

from app.state import TaskState
from tests.support.broker import FAR_MS, settle_of, settle_unseen
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

DELAY_MS = 60_000


async def give(broker, entry, *, consumer="w1", delay_ms=DELAY_MS, **how):
    (waited_ms,) = await broker.delivery.give_back_later(
        broker.token, consumer, [entry], delay_ms, **how
    )
    return waited_ms


async def fetched(broker, task_id="a", **options):
    await broker.submit(envelope(task_id, **options))
    return await broker.fetch_one()


async def comes_back(broker):
    await broker.make_due()
    assert await broker.delivery.promote(broker.token, ["a"]) == [1]
    return await broker.fetch_one()


async def first_given_back(broker, ago_ms):
    """Time passes since the task was first given back."""
    since = int((await broker.task())["unknown_since"]) - ago_ms
    await broker.raw.hset(broker.keys.task("a"), "unknown_since", since)


async def test_an_entry_lies_for_the_delay_still_queued_and_uncounted(broker):
    entry = await fetched(broker)
    assert await give(broker, entry) == 0
    task = await broker.task()
    assert (task["state"], task["place"], task["attempt"]) == ("queued", "delayed", "0")
    assert await broker.ready_ids() == []
    assert await broker.pending() == {}
    seconds, _ = await broker.raw.time()
    due_ms = await broker.raw.zscore(broker.keys.delayed, "a")
    assert 0 < due_ms - seconds * 1_000 <= DELAY_MS + 1_000
    assert float(task["due"]) == due_ms
    assert (await broker.inspect()).standing == "present"


async def test_it_comes_back_as_it_was(broker):
    entry = await fetched(broker, priority="high")
    await give(broker, entry)
    again = await comes_back(broker)
    assert (again.envelope, again.lane, again.fresh) == (entry.envelope, 1, True)
    started = await broker.start(again)
    assert (started.verdict, started.attempt) == ("run", 1)


async def test_the_time_counts_from_the_first(broker):
    assert await give(broker, await fetched(broker), delay_ms=1) == 0
    await first_given_back(broker, 3_000)
    assert await give(broker, await comes_back(broker)) >= 3_000
    assert await give(broker, await comes_back(broker)) >= 3_000


async def test_it_comes_back_by_itself(broker):
    await give(broker, await fetched(broker), delay_ms=1)

    async def is_due():
        ids, _ = await broker.delivery.due(broker.token, 10)
        return ids

    assert await eventually(is_due) == ["a"]


async def test_before_the_time_is_over_it_is_given_back(broker):
    entry = await fetched(broker)
    assert await give(broker, entry, within_ms=5_000) == 0
    assert await broker.pending() == {}


async def test_once_the_time_is_over_it_stays_with_its_consumer(broker):
    await give(broker, await fetched(broker))
    await first_given_back(broker, 5_000)
    entry = await comes_back(broker)
    before = await broker.snapshot()
    assert await give(broker, entry, within_ms=5_000) >= 5_000
    assert await broker.snapshot() == before
    assert await broker.delivery.renew(broker.token, "w1", [entry]) == ["held"]


async def test_while_another_worker_knows_the_type_the_time_begins_anew(broker):
    await give(broker, await fetched(broker))
    await first_given_back(broker, 9_000)
    assert await give(broker, await comes_back(broker), known_elsewhere=True) == 0
    assert await give(broker, await comes_back(broker), within_ms=5_000) < 5_000


async def test_a_start_ends_the_waiting(broker):
    await give(broker, await fetched(broker))
    entry = await comes_back(broker)
    await broker.start(entry)
    assert "unknown_since" not in await broker.task()


@pytest.mark.parametrize("given_back", [False, True])
async def test_the_end_of_the_task_ends_the_waiting(broker, given_back):
    await give(broker, await fetched(broker))
    entry = await comes_back(broker)
    if given_back:
        await give(broker, entry)
    await broker.settle(settle_of(entry, TaskState.SUSPENDED))
    assert not {"unknown_since", "envelope", "due"} & set(await broker.task())
    assert await broker.raw.zcard(broker.keys.delayed) == 0


async def test_giving_back_again_changes_nothing(broker):
    entry = await fetched(broker)
    await give(broker, entry)
    before = await broker.snapshot()
    assert await give(broker, entry) == -1
    assert await broker.snapshot() == before


async def test_one_who_lost_the_lease_gives_nothing_back(broker):
    entry = await fetched(broker)
    await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    before = await broker.snapshot()
    assert await give(broker, entry) == -1
    assert await broker.snapshot() == before


async def test_the_attempt_of_a_worker_that_was_lost_stays_counted(broker):
    await broker.running()
    _, (entry,) = await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    assert await give(broker, entry, consumer="w2") == 0
    task = await broker.task()
    assert (task["state"], task["attempt"]) == ("queued", "1")
    assert not {"nonce", "worker"} & set(task)
    assert not (await comes_back(broker)).fresh


async def test_an_entry_whose_hash_was_lost_waits_as_suspect(broker):
    entry = await fetched(broker)
    await broker.lose_hash()
    assert await give(broker, entry) == 0
    assert (await broker.inspect()).request_digest == envelope().request_digest
    again = await comes_back(broker)
    assert (again.run, again.fresh, again.envelope) == (1, False, entry.envelope)
    assert (await broker.start(again)).verdict == "ask"


async def test_a_leftover_of_a_task_that_lies_elsewhere_is_dropped(broker):
    entry = await fetched(broker)
    await broker.lose_hash()
    await broker.restore(envelope(), attempts_ended=1, due_ms=FAR_MS)
    assert await give(broker, entry, within_ms=0) == -1
    assert await broker.ready_ids() == []
    assert await broker.raw.zscore(broker.keys.delayed, "a") == FAR_MS


async def test_a_lost_stream_takes_nothing_from_the_others_of_the_batch(broker):
    lost = await fetched(broker, "lost", priority="high")
    kept = await fetched(broker, "kept")
    await broker.lose_lane(1)
    answers = await broker.delivery.give_back_later(broker.token, "w1", [lost, kept], DELAY_MS)
    assert answers == [-1, 0]


async def test_a_cancelled_one_is_finished_where_it_lies(broker):
    await give(broker, await fetched(broker))
    assert await broker.intake.mark_cancel(broker.token, "a") == (
        1,
        envelope().request_digest,
        True,
    )
    assert (await broker.start(await comes_back(broker))).verdict == "cancel"
    await broker.settle(settle_unseen("a", state=TaskState.CANCELLED))
    assert await broker.state() == "cancelled"


async def test_two_workers_give_back_one_task_once(broker):
    entry = await fetched(broker)
    answers = await asyncio.gather(*(give(broker, entry, consumer=c) for c in ("w1", "w2")))
    assert answers == [0, -1]


async def test_after_a_wipe_it_waits_anew(broker):
    await give(broker, await fetched(broker))
    await first_given_back(broker, 4_000)
    await broker.lose_everything()
    assert await broker.restore(envelope()) == "restored"
    assert await give(broker, await broker.fetch_one(), within_ms=5_000) == 0
    assert (await broker.task())["suspect"] == "1"
