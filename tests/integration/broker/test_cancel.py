"""``mark_cancel.lua`` and those who meet the mark: the task keeps its place until it is settled."""

import asyncio

from app.broker.cancelled import CancelledTasks
from app.broker.delivery import PutOff
from app.lifecycle import cancel
from app.state import TaskState
from tests.support.broker import FAR_MS, settle_of, settle_unseen
from tests.support.envelopes import envelope
from tests.support.eventually import eventually


async def test_an_unknown_task_is_told_apart(broker):
    assert await broker.intake.mark_cancel(broker.token, "a") is None
    assert await broker.task() == {}


async def test_a_marked_task_keeps_its_entry(broker):
    await broker.submit(envelope())
    marked = await broker.intake.mark_cancel(broker.token, "a")
    assert marked == (1, envelope().request_digest, True)
    assert await broker.ready_ids() == ["a"]
    assert await broker.state() == "queued"


async def test_a_marked_delayed_task_keeps_its_member(broker):
    await broker.submit(envelope(notBefore=FAR_MS))
    await broker.intake.mark_cancel(broker.token, "a")
    assert await broker.raw.zscore(broker.keys.delayed, "a") == FAR_MS


async def test_marking_again_changes_nothing(broker):
    await broker.submit(envelope())
    first = await broker.intake.mark_cancel(broker.token, "a")
    before = await broker.snapshot()
    assert await broker.intake.mark_cancel(broker.token, "a") == first
    assert await broker.snapshot() == before


async def test_a_settled_task_is_not_marked(broker):
    await broker.settle(settle_of(await broker.running()))
    assert await broker.intake.mark_cancel(broker.token, "a") == (
        1,
        envelope().request_digest,
        False,
    )
    assert "cancel" not in await broker.task()


async def test_whoever_runs_it_is_told_and_nobody_else(broker):
    told = []
    following = asyncio.create_task(
        CancelledTasks(broker.redis, broker.env).follow(lambda *said: told.append(said))
    )
    await broker.running("runs")
    await broker.submit(envelope("waits"))

    async def is_told():
        for each in ("waits", "runs"):
            await broker.intake.mark_cancel(broker.token, each)
        return told

    await eventually(is_told)
    assert set(told) == {(broker.keys.cancelled_channel, "runs")}
    await cancel(following)


async def test_start_meets_the_mark_and_counts_nothing(broker):
    await broker.submit(envelope())
    await broker.intake.mark_cancel(broker.token, "a")
    entry = await broker.fetch_one()
    assert (await broker.start(entry)).verdict == "cancel"
    task = await broker.task()
    assert (task["state"], task["attempt"]) == ("queued", "0")


async def test_the_mark_outlives_the_move_from_delayed_to_ready(broker):
    await broker.submit(envelope(notBefore=FAR_MS))
    await broker.intake.mark_cancel(broker.token, "a")
    await broker.make_due()
    await broker.delivery.promote(broker.token, ["a"])
    assert (await broker.start(await broker.fetch_one())).verdict == "cancel"


async def test_a_retry_meets_the_mark_and_is_not_put_off(broker):
    entry = await broker.running()
    await broker.intake.mark_cancel(broker.token, "a")
    assert await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)]) == [
        "cancel"
    ]
    assert await broker.state() == "running"
    assert await broker.pending() == {entry.entry_id: "w1"}


async def test_the_lease_of_a_marked_task_is_held_and_tells_of_the_mark(broker):
    entry = await broker.running()
    await broker.intake.mark_cancel(broker.token, "a")
    assert await broker.delivery.renew(broker.token, "w1", [entry]) == ["cancel"]


async def test_a_task_given_back_still_has_its_mark(broker):
    entry = await broker.running()
    await broker.intake.mark_cancel(broker.token, "a")
    await broker.delivery.give_back(broker.token, "w1", [(entry, True)])
    assert (await broker.start(await broker.fetch_one(), asked=True)).verdict == "cancel"


async def test_settling_takes_a_cancelled_task_from_wherever_it_lies(broker):
    await broker.submit(envelope("ready"), envelope("delayed", notBefore=FAR_MS))
    for task_id in ("ready", "delayed"):
        await broker.intake.mark_cancel(broker.token, task_id)
    await broker.settle(
        settle_unseen("ready", state=TaskState.CANCELLED),
        settle_unseen("delayed", state=TaskState.CANCELLED),
    )
    assert await broker.ready_ids() == []
    assert await broker.raw.zcard(broker.keys.delayed) == 0
    for task_id in ("ready", "delayed"):
        task = await broker.task(task_id)
        assert task["state"] == "cancelled"
        assert "cancel" not in task
