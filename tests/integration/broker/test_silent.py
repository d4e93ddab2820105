"""``silent.lua``: entries whose consumer gives no sign of life."""

from app.broker.survey import PAGE, Survey
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

LANE = 2


async def silent(broker, lease_ms, behind=""):
    return await Survey(broker.redis, broker.keys).silent(broker.token, LANE, lease_ms, behind)


async def test_nothing_was_ever_handed_out(broker):
    assert await silent(broker, 0) == ([], "")


async def test_only_those_idle_for_a_lease_are_named(broker):
    await broker.running(consumer="w1")
    assert await silent(broker, 60_000) == ([], "")

    async def idle():
        return (await silent(broker, 50))[0]

    (found,) = await eventually(idle)
    assert (found.task_id, found.run, found.consumer) == ("a", 1, "w1")
    assert found.idle_ms >= 50


async def test_what_waits_for_a_worker_is_not_named(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.fetch(count=1)
    (found,), _ = await silent(broker, 0)
    assert found.task_id == "a"


async def test_many_come_page_by_page(broker):
    n = PAGE + 5
    await broker.submit(*(envelope(f"t-{i}") for i in range(n)))
    await broker.fetch(count=n)
    first, behind = await silent(broker, 0)
    second, end = await silent(broker, 0, behind)
    assert (len(first), len(second), end) == (PAGE, 5, "")
    assert {each.task_id for each in (*first, *second)} == {f"t-{i}" for i in range(n)}
