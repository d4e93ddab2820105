"""``depth.lua``: a queue's figures, read from Redis at that moment."""

from app.broker.delivery import PutOff
from app.broker.gauges import read_gauges
from app.broker.journal import Sightings
from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def gauges(broker):
    return await read_gauges(broker.redis, broker.keys, broker.token)


async def test_an_empty_queue(broker):
    found = await gauges(broker)
    assert (found.scheduled, found.queued, found.running, found.retrying) == (0, 0, 0, 0)
    assert found.oldest_queued_ms is None
    assert found.oldest_unmirrored_ms is None
    assert (found.unmirrored, found.accepted_per_second, found.settled_per_second) == (0, 0, 0)
    assert found.mirror == {}


async def test_each_task_is_counted_where_it_is(broker):
    await broker.running("running")
    entry = await broker.running("retrying")
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)])
    await broker.settle(settle_of(await broker.running("settled")))
    await broker.submit(
        envelope("s1", notBefore=FAR_MS),
        envelope("s2", notBefore=FAR_MS),
        envelope("q1", priority="high"),
        envelope("q2"),
        envelope("q3", priority="low"),
    )
    found = await gauges(broker)
    assert (found.scheduled, found.queued, found.running, found.retrying) == (2, 3, 1, 1)
    assert found.oldest_queued_ms is not None
    assert found.unmirrored == 8


async def test_handed_out_entries_do_not_age_the_queue(broker):
    await broker.running()
    assert (await gauges(broker)).oldest_queued_ms is None


async def test_a_lane_without_a_group_is_all_waiting(broker):
    await broker.submit(envelope())
    found = await gauges(broker)
    assert (found.queued, found.running) == (1, 0)
    assert found.oldest_queued_ms is not None


async def test_the_oldest_of_all_lanes_counts(broker):
    await broker.raw.xadd(broker.keys.lanes[2], {"id": "old"}, id="1000-1")
    await broker.submit(envelope(priority="high"))
    found = await gauges(broker)
    assert found.oldest_queued_ms == found.now_ms - 1_000


async def test_refreshes_are_no_exposure(broker):
    (answer,) = await broker.submit(envelope("a"))
    await broker.confirm()
    await broker.refresh("a", journal_id=answer.journal_id)
    found = await gauges(broker)
    assert (found.unmirrored, found.oldest_unmirrored_ms) == (0, None)
    await broker.submit(envelope("b"))
    found = await gauges(broker)
    assert found.unmirrored == 1
    assert found.oldest_unmirrored_ms is not None


async def test_refreshes_far_down_a_journal_of_small_envelopes_are_told_apart(broker):
    answers = await broker.submit(*(envelope(f"t{n}") for n in range(40)))
    await broker.confirm()
    for n, answer in enumerate(answers):
        await broker.refresh(f"t{n}", journal_id=answer.journal_id)
    await broker.submit(envelope("a"))
    found = await gauges(broker)
    assert (found.unmirrored, found.oldest_unmirrored_ms is None) == (1, False)


async def test_of_large_envelopes_only_some_are_looked_at_and_the_rest_counts(broker, monkeypatch):
    monkeypatch.setattr("app.broker.gauges.LOOKED_AT_BYTES", 10)
    answers = await broker.submit(*(envelope(f"t{n}") for n in range(15)))
    await broker.confirm()
    for n, answer in enumerate(answers):
        await broker.refresh(f"t{n}", journal_id=answer.journal_id)
    found = await gauges(broker)
    # Ten are looked at before anything is known of their size.
    assert found.unmirrored == 5
    # What counts as a task has an age, too: no task behind it is older.
    first_ms = int((await broker.raw.xrange(broker.keys.journal))[10][0].split(b"-")[0])
    assert found.oldest_unmirrored_ms == found.now_ms - first_ms


async def test_rates_count_accepted_once_and_settled_once(broker):
    for _ in range(2):
        await broker.submit(*(envelope(f"t{i}") for i in range(20)))
    entries = await broker.fetch(count=10)
    for _ in range(2):
        await broker.settle(*(settle_of(entry) for entry in entries))
    found = await gauges(broker)
    assert (found.accepted_per_second, found.settled_per_second) == (2.0, 1.0)


async def test_seconds_long_past_are_not_in_the_rates(broker):
    await broker.raw.hset(broker.keys.rates, mapping={"a1": "1000:50", "s1": "1000:50"})
    found = await gauges(broker)
    assert (found.accepted_per_second, found.settled_per_second) == (0, 0)


async def test_what_the_mirror_reported_is_shown(broker):
    await broker.journal.hold(broker.token, "m1", 60_000, Sightings(returned=3))
    found = await gauges(broker)
    assert (found.mirror["leader"], found.mirror["returned"]) == ("m1", "3")
