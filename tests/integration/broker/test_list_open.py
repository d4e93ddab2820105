"""``list_ready.lua`` and ``list_delayed.lua``: open tasks by state, page by page."""

import pytest

from app.broker import listing
from app.broker.delivery import PutOff
from app.errors import InvalidTask
from app.state import TaskState
from tests.support.broker import FAR_MS, settle_unseen
from tests.support.envelopes import envelope

S = TaskState
OPEN = (S.QUEUED, S.RUNNING, S.SCHEDULED, S.RETRYING)


async def page(broker, state, cursor="", limit=10):
    return await broker.intake.list_open(broker.token, state, cursor, limit)


async def everything(broker, state, limit=10):
    """All pages, in order; each no longer than asked for."""
    found, cursor = [], ""
    while True:
        ids, cursor = await page(broker, state, cursor, limit)
        assert len(ids) <= limit
        found += ids
        if not cursor:
            return found


async def retrying(broker, task_id, due_ms=FAR_MS):
    entry = await broker.running(task_id)
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, due_ms)])


@pytest.mark.parametrize("state", OPEN)
async def test_an_empty_queue_has_one_empty_page(broker, state):
    assert await page(broker, state) == ([], "")


async def test_each_task_is_listed_in_its_state_alone(broker):
    await broker.running("running")
    await retrying(broker, "retrying")
    await broker.settle(settle_unseen((await broker.running("settled")).task_id))
    await broker.submit(envelope("scheduled", notBefore=FAR_MS), envelope("queued"))
    listed = {state: await everything(broker, state) for state in OPEN}
    assert listed == {state: [str(state)] for state in OPEN}


async def test_what_was_fetched_and_not_started_is_with_a_worker(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.fetch_one(count=1)
    assert await everything(broker, S.RUNNING) == ["a"]
    assert await everything(broker, S.QUEUED) == ["b"]


async def test_a_stream_without_a_group_is_all_waiting(broker):
    await broker.submit(envelope("a"))
    assert await everything(broker, S.QUEUED) == ["a"]
    assert await everything(broker, S.RUNNING) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100])
@pytest.mark.parametrize("handed", [False, True])
async def test_pages_go_over_all_priorities_without_a_gap_or_repeat(broker, limit, handed):
    for number in range(3):
        await broker.submit(
            *(envelope(f"{p}{number}", priority=p) for p in ("low", "high", "normal"))
        )
    expected = [f"{p}{number}" for p in ("high", "normal", "low") for number in range(3)]
    if handed:
        await broker.fetch(count=100)
    state, other = (S.RUNNING, S.QUEUED) if handed else (S.QUEUED, S.RUNNING)
    assert await everything(broker, state, limit) == expected
    assert await everything(broker, other, limit) == []


async def test_a_page_goes_on_behind_an_entry_that_is_gone(broker):
    await broker.submit(*(envelope(f"t{n}") for n in range(4)))
    ids, cursor = await page(broker, S.QUEUED, limit=2)
    await broker.settle(*(settle_unseen(each) for each in ids))
    assert await page(broker, S.QUEUED, cursor) == (["t2", "t3"], "")


async def test_what_was_handed_out_between_two_pages_is_not_queued(broker):
    await broker.submit(*(envelope(f"t{n}") for n in range(4)))
    _, cursor = await page(broker, S.QUEUED, limit=1)
    await broker.fetch(count=3)
    assert await page(broker, S.QUEUED, cursor) == (["t3"], "")


async def test_ids_of_the_same_millisecond_are_told_apart_as_numbers(broker):
    lane = broker.keys.lanes[1]
    for sequence in (9, 10, 11):
        await broker.raw.xadd(lane, {"id": f"s{sequence}"}, id=f"1000-{sequence}")
    await broker.raw.xgroup_create(lane, "workers", "1000-9")
    _, cursor = await page(broker, S.QUEUED, limit=1)
    assert cursor == "2:1000-10"
    assert await page(broker, S.QUEUED, cursor) == (["s11"], "")


async def test_a_pending_entry_that_was_deleted_is_passed_over(broker):
    await broker.submit(*(envelope(f"t{n}") for n in range(3)))
    entry, *_ = await broker.fetch()
    await broker.raw.xdel(broker.keys.lanes[1], entry.entry_id)
    assert await everything(broker, S.RUNNING, limit=1) == ["t1", "t2"]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_delayed_tasks_come_in_the_order_they_are_due(broker, limit):
    dues = {"c": FAR_MS, "a": FAR_MS + 2, "b": FAR_MS + 1, "e": FAR_MS + 1, "d": FAR_MS + 1}
    await broker.submit(*(envelope(each, notBefore=due) for each, due in dues.items()))
    await retrying(broker, "r1", FAR_MS + 1)
    await retrying(broker, "r2", FAR_MS)
    assert await everything(broker, S.SCHEDULED, limit) == ["c", "b", "d", "e", "a"]
    assert await everything(broker, S.RETRYING, limit) == ["r2", "r1"]


async def test_many_due_at_the_same_moment_are_paged_through(broker):
    ids = [f"t{number:03}" for number in range(120)]
    await broker.submit(*(envelope(each, notBefore=FAR_MS) for each in ids))
    assert await everything(broker, S.SCHEDULED, limit=50) == ids


async def test_a_delayed_task_that_left_between_two_pages_leaves_no_gap(broker):
    await broker.submit(*(envelope(f"t{n}", notBefore=FAR_MS) for n in range(4)))
    ids, cursor = await page(broker, S.SCHEDULED, limit=2)
    assert ids == ["t0", "t1"]
    await broker.settle(settle_unseen("t0"), settle_unseen("t1"))
    assert await page(broker, S.SCHEDULED, cursor) == (["t2", "t3"], "")


async def test_rare_ones_are_found_behind_many_of_the_other_kind(broker, monkeypatch):
    monkeypatch.setattr(listing, "LOOKED_AT", 5)
    await broker.submit(*(envelope(f"t{n:02}", notBefore=FAR_MS) for n in range(13)))
    await retrying(broker, "rare", FAR_MS + 1)
    assert await page(broker, S.RETRYING) == ([], f"{FAR_MS}:t04")
    assert await everything(broker, S.RETRYING) == ["rare"]


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("cursor", ["x", ":", "1:", "1:a b", "-1:1-1", "2:1-1 ", "4;1"])
async def test_a_cursor_nobody_gave_is_refused(broker, state, cursor):
    with pytest.raises(InvalidTask) as refused:
        await page(broker, state, cursor)
    assert refused.value.problems[0].pointer == "?cursor"


async def test_lists_are_the_same_after_a_wipe_and_a_restore(broker):
    tasks = [envelope("a"), envelope("b", priority="high"), envelope("c", notBefore=FAR_MS)]
    await broker.submit(*tasks)
    await broker.lose_everything()
    for each in tasks:
        await broker.restore(each)
    await broker.restore(envelope("d"), attempts_ended=1, due_ms=FAR_MS)
    assert await everything(broker, S.QUEUED) == ["b", "a"]
    assert await everything(broker, S.SCHEDULED) == ["c"]
    assert await everything(broker, S.RETRYING) == ["d"]
