"""A worker dies between any two writes of a task: the next one finishes it, and it is recorded once."""

from collections import Counter

import pytest

from tests.e2e.rehearsal import LEASE_MS, Rehearsal
from tests.support.eventually import eventually

ON_THE_WAY = (
    "worker.after_fetch",
    "worker.after_start",
    "worker.after_run",
    "worker.before_ledger",
    "worker.after_ledger",
    "worker.before_settle",
    "worker.after_settle",
)
AT_A_RETRY = (
    "worker.before_failed",
    "worker.after_failed",
    "worker.before_put_off",
    "worker.after_put_off",
)
AT_A_SUSPECT = ("worker.before_record", "worker.after_record")
AT_A_STOP = ("worker.before_give_back", "worker.after_give_back")
IDS = [f"t{n}" for n in range(5)]
RECOVERED_WITHIN_S = LEASE_MS / 1000 + 60
"""A lease, and the start of a process on a busy machine."""


@pytest.fixture
async def rehearsal(redis_url, env_name, tmp_path):
    rehearsal = Rehearsal(redis_url, env_name, tmp_path)
    await rehearsal.open()
    yield rehearsal
    await rehearsal.close()


async def all_end_well(rehearsal):
    """The records, once another worker has finished everything."""
    rehearsal.process(grace_ms=5_000)

    async def over():
        found = [await rehearsal.finished(each) for each in IDS]
        settled = [(await rehearsal.fields(each)).get("place", "") == "" for each in IDS]
        return all(found) and all(settled) and not await rehearsal.ready()

    await eventually(over, within_s=RECOVERED_WITHIN_S)
    records = [await rehearsal.record(each) for each in IDS]
    for record in records:
        assert (record.finished.state, record.finished.run, record.open) == ("succeeded", 1, None)
        counted = [each.attempt for each in record.attempts if each.outcome != "given_back"]
        assert len(counted) == len(set(counted)), record.attempts
        assert [each.outcome for each in record.attempts].count("succeeded") == 1
    assert {task_id for task_id, _, _ in rehearsal.noted} == set(IDS)
    return records


def most_calls(rehearsal):
    return max(Counter(task_id for task_id, _, _ in rehearsal.noted).values())


@pytest.mark.parametrize("point", ON_THE_WAY)
async def test_at_every_point_of_a_run(rehearsal, point):
    await rehearsal.submit(*(rehearsal.task(each) for each in IDS))
    await rehearsal.dies(rehearsal.process(crash_at=point))
    await all_end_well(rehearsal)
    recorded = point in ("worker.after_ledger", "worker.before_settle", "worker.after_settle")
    unrun = point in ("worker.after_fetch", "worker.after_start")
    # What the ledger had, or what never ran, is run once; the rest once more.
    assert most_calls(rehearsal) == (1 if recorded or unrun else 2)


@pytest.mark.parametrize("point", AT_A_RETRY)
async def test_at_every_point_of_a_retry(rehearsal, point):
    await rehearsal.submit(*(rehearsal.task(each, fails_first=True) for each in IDS))
    await rehearsal.dies(rehearsal.process(crash_at=point))
    records = await all_end_well(rehearsal)
    for record in records:
        assert record.attempts[-1].attempt == 2
    assert most_calls(rehearsal) == 2


@pytest.mark.parametrize("point", AT_A_SUSPECT)
async def test_before_and_after_a_suspect_is_recorded_as_started(rehearsal, point):
    await rehearsal.submit(*(rehearsal.task(each) for each in IDS))
    await rehearsal.dies(rehearsal.process(crash_at="worker.after_start"))
    await rehearsal.dies(rehearsal.process(crash_at=point))
    assert rehearsal.noted == []
    records = await all_end_well(rehearsal)
    assert most_calls(rehearsal) == 1
    for record in records:
        assert record.attempts[-1].attempt == 3


@pytest.mark.parametrize("point", AT_A_STOP)
async def test_before_and_after_tasks_are_given_back(rehearsal, point):
    await rehearsal.submit(*(rehearsal.task(each, takes_s=60) for each in IDS))
    process = rehearsal.process(crash_at=point)
    await eventually(lambda: len(rehearsal.noted) == len(IDS), within_s=60)
    rehearsal.signal(process)
    await rehearsal.dies(process)
    if point == "worker.after_give_back":
        # Nothing of them is used up, so the first attempt runs again and would take as long.
        assert [await rehearsal.state(each) for each in IDS] == ["queued"] * len(IDS)
        return
    records = await all_end_well(rehearsal)
    assert most_calls(rehearsal) == 2
    for record in records:
        assert [each.outcome for each in record.attempts] == ["lost", "succeeded"]


async def test_a_point_that_does_not_exist_is_refused_with_those_that_do(rehearsal):
    process = rehearsal.process(crash_at="worker.nowhere")
    await eventually(lambda: not process.running, within_s=60)
    assert process.exit_code == 2
    assert "there is no point 'worker.nowhere'; there are worker.after_fetch" in process.tail()
