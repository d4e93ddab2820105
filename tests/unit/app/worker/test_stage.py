import asyncio

from app.errors import Unavailable
from app.lifecycle import cancel
from app.worker.stage import Stage
from tests.support.eventually import eventually


async def running(work, **options):
    stage = Stage("Testing", work, **{"items_max": 4, "lanes": 1, **options})
    return stage, asyncio.create_task(stage.run())


async def test_items_are_done_in_batches():
    batches = []

    async def work(batch):
        batches.append(batch)
        return []

    stage, task = await running(work)
    for n in range(6):
        stage.put(n)
    await eventually(lambda: stage.idle)
    assert batches == [[0, 1, 2, 3], [4, 5]]
    await cancel(task)


async def test_what_fails_is_done_again_until_it_is_done():
    done, tries = [], 0

    async def work(batch):
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("ledger", "away")
        done.extend(batch)
        return []

    stage, task = await running(work)
    stage.put("a")
    await eventually(lambda: done)
    assert (done, tries) == (["a"], 3)
    await cancel(task)


async def test_one_item_that_never_succeeds_does_not_hold_up_the_others():
    done = []

    async def work(batch):
        if "bad" in batch:
            raise Unavailable("ledger", "too large")
        done.extend(batch)
        return []

    stage, task = await running(work)
    for item in ("bad", "b", "c", "d", "e", "f"):
        stage.put(item)
    await eventually(lambda: len(done) == 5)
    assert sorted(done) == ["b", "c", "d", "e", "f"]
    assert not stage.idle
    await cancel(task)


async def test_items_handed_back_are_done_later():
    seen = []

    async def work(batch):
        seen.append(batch)
        return [item for item in batch if len(seen) < 2]

    stage, task = await running(work)
    stage.put("a")
    await eventually(lambda: len(seen) == 2)
    await eventually(lambda: stage.idle)
    await cancel(task)
