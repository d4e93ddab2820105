"""``progress.lua``: how far a running task says it is, and nobody but who runs it."""

import orjson
import pytest

from app.broker.delivery import PROGRESS_BYTES_MAX, PutOff
from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def report(broker, entry, fraction=0.4, text="half-way", consumer="w1"):
    (noted,) = await broker.delivery.report_progress(
        broker.token, consumer, [(entry, fraction, text)]
    )
    return noted


async def shown(broker, task_id="a"):
    return orjson.loads((await broker.task(task_id)).get("progress", "null"))


async def test_what_is_said_is_kept_with_the_time_of_redis(broker):
    entry = await broker.running()
    before_s, _ = await broker.raw.time()
    assert await report(broker, entry, 0.4, 'a "quoted" café {}')
    after_s, _ = await broker.raw.time()
    progress = await shown(broker)
    assert progress.pop("at") // 1_000 in range(before_s, after_s + 1)
    assert progress == {"fraction": 0.4, "text": 'a "quoted" café {}'}


async def test_the_latest_word_counts(broker):
    entry = await broker.running()
    await report(broker, entry, 0.1)
    await report(broker, entry, 1, None)
    progress = await shown(broker)
    assert (progress["fraction"], progress["text"]) == (1, None)


async def test_it_is_seen_by_who_looks(broker):
    await report(broker, await broker.running())
    (sighting,) = await broker.intake.look(broker.token, ["a"])
    assert orjson.loads(sighting.fields["progress"])["text"] == "half-way"


@pytest.mark.parametrize("letter", ["x", "é"])
async def test_a_long_text_is_cut_and_says_so(broker, letter):
    entry = await broker.running()
    assert await report(broker, entry, text="a" + letter * PROGRESS_BYTES_MAX)
    progress = await shown(broker)
    assert progress["truncated"]
    assert PROGRESS_BYTES_MAX - 1 <= len(progress["text"].encode()) <= PROGRESS_BYTES_MAX
    assert set(progress["text"][1:]) == {letter}


async def test_a_text_at_the_limit_is_whole(broker):
    await report(broker, await broker.running(), text="x" * PROGRESS_BYTES_MAX)
    assert "truncated" not in await shown(broker)


async def test_one_who_lost_the_lease_says_nothing(broker):
    entry = await broker.running()
    await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    before = await broker.snapshot()
    assert not await report(broker, entry)
    assert await broker.snapshot() == before


async def test_a_task_that_was_not_started_says_nothing(broker):
    await broker.submit(envelope())
    assert not await report(broker, await broker.fetch_one())
    assert await shown(broker) is None


async def test_a_task_that_is_over_or_lies_elsewhere_says_nothing(broker):
    over, elsewhere = await broker.running("a"), await broker.running("b")
    await broker.settle(settle_of(over))
    await broker.lose_hash("b")
    await broker.restore(envelope("b"))
    before = await broker.snapshot()
    assert not await report(broker, over)
    assert not await report(broker, elsewhere)
    assert await broker.snapshot() == before


async def test_a_batch_is_noted_each_on_its_own(broker):
    a, b, c = [await broker.running(each) for each in "abc"]
    await broker.settle(settle_of(b))
    reports = [(a, 0.1, "one"), (b, 0.2, "two"), (c, 0.3, "three")]
    noted = await broker.delivery.report_progress(broker.token, "w1", reports)
    assert noted == [True, False, True]
    assert [(await shown(broker, each) or {}).get("text") for each in "abc"] == [
        "one",
        None,
        "three",
    ]


async def test_a_lost_stream_takes_nothing_from_the_others_of_the_batch(broker):
    lost = await broker.running("lost", priority="high")
    kept = await broker.running("kept")
    await broker.lose_lane(1)
    reports = [(lost, 0.5, ""), (kept, 0.5, "")]
    assert await broker.delivery.report_progress(broker.token, "w1", reports) == [False, True]


async def test_the_end_of_the_task_removes_it(broker):
    entry = await broker.running()
    await report(broker, entry)
    await broker.settle(settle_of(entry))
    assert await shown(broker) is None


async def test_a_failed_attempt_takes_it_along(broker):
    entry = await broker.running()
    await report(broker, entry)
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)])
    assert await shown(broker) is None


async def test_a_task_given_back_takes_it_along(broker):
    entry = await broker.running()
    await report(broker, entry)
    await broker.delivery.give_back(broker.token, "w1", [(entry, True)])
    assert await shown(broker) is None


async def test_the_next_attempt_begins_without_that_of_a_lost_worker(broker):
    await report(broker, await broker.running())
    _, (entry,) = await broker.delivery.reclaim(broker.token, "w2", 2, 0, 10)
    assert await shown(broker) is not None
    assert (await broker.start(entry, "w2")).attempt == 2
    assert await shown(broker) is None


async def test_after_a_wipe_it_is_gone_and_the_task_is_right(broker):
    entry = await broker.running()
    await report(broker, entry)
    await broker.lose_everything()
    assert await broker.restore(envelope(), attempts_ended=0) == "restored"
    task = await broker.task()
    assert (task["state"], task.get("progress")) == ("queued", None)
    assert (await broker.start(await broker.fetch_one(), asked=True)).attempt == 1
