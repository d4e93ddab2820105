"""``walk.lua``: every open task, whatever its state and place, page by page."""

from app.broker.survey import PAGE, START, Survey
from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def walked(broker, *, between=None):
    survey, cursor, found, pages = Survey(broker.redis, broker.keys), START, [], 0
    while cursor is not None:
        ids, cursor = await survey.walk(broker.token, cursor)
        found += ids
        pages += 1
        if between is not None:
            await between()
    return found, pages


async def test_nothing_is_there(broker):
    found, _ = await walked(broker)
    assert found == []


async def test_every_place_and_state_is_walked_over(broker):
    await broker.running("running")
    await broker.submit(
        envelope("high", priority="high"),
        envelope("low", priority="low"),
        envelope("later", notBefore=FAR_MS),
    )
    found, _ = await walked(broker)
    assert sorted(found) == ["high", "later", "low", "running"]


async def test_finished_tasks_are_left_out(broker):
    entry = await broker.running()
    await broker.settle(settle_of(entry))
    assert (await walked(broker))[0] == []


async def test_more_than_a_page_comes_whole_and_once(broker):
    n = PAGE + 30
    await broker.submit(*(envelope(f"ready-{i}") for i in range(n)))
    await broker.submit(*(envelope(f"later-{i}", notBefore=FAR_MS) for i in range(2 * n)))
    found, pages = await walked(broker)
    assert sorted(found) == sorted(
        [*(f"ready-{i}" for i in range(n)), *(f"later-{i}" for i in range(2 * n))]
    )
    assert pages > 4


async def test_what_is_promoted_meanwhile_is_met_in_its_new_place(broker):
    await broker.submit(*(envelope(f"later-{i}", notBefore=FAR_MS) for i in range(5)))

    async def promote():
        for i in range(5):
            await broker.make_due(f"later-{i}")
        await broker.delivery.promote(broker.token, [f"later-{i}" for i in range(5)])

    found, _ = await walked(broker, between=promote)
    assert set(found) == {f"later-{i}" for i in range(5)}
    assert len(found) == 10
