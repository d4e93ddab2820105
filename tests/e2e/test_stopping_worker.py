"""A worker that is told to stop: what it holds is finished or given back, and nobody waits long."""

import pytest

from tests.e2e.rehearsal import Rehearsal
from tests.support.eventually import eventually

LONG_MS = 60_000
IDS = [f"t{n}" for n in range(8)]


@pytest.fixture
async def rehearsal(redis_url, env_name, tmp_path):
    rehearsal = Rehearsal(redis_url, env_name, tmp_path)
    await rehearsal.open()
    yield rehearsal
    await rehearsal.close()


async def all_run(rehearsal, ids=IDS):
    await eventually(lambda: {each for each, _, _ in rehearsal.noted} == set(ids), within_s=60)


async def test_within_the_grace_running_tasks_end_and_the_process_exits_with_0(rehearsal):
    await rehearsal.submit(*(rehearsal.task(each, takes_s=1) for each in IDS))
    process = rehearsal.process(grace_ms=LONG_MS, lease_ms=LONG_MS)
    await all_run(rehearsal)
    rehearsal.signal(process)
    await rehearsal.leaves(process)
    records = [await rehearsal.record(each) for each in IDS]
    assert [each.finished.state for each in records] == ["succeeded"] * len(IDS)
    assert len(rehearsal.noted) == len(IDS)


async def test_what_is_given_back_runs_elsewhere_at_once_and_nothing_is_used_up(rehearsal):
    """The leases are long: whoever waited for them would wait too long for this test."""
    await rehearsal.submit(*(rehearsal.task(each, takes_s=3_600) for each in IDS))
    process = rehearsal.process(grace_ms=0, lease_ms=3_600_000)
    await all_run(rehearsal)
    rehearsal.process(lease_ms=3_600_000)
    rehearsal.signal(process)
    await rehearsal.leaves(process)
    await eventually(lambda: len(rehearsal.noted) == 2 * len(IDS), within_s=60)
    assert set(rehearsal.noted) == {(each, 1, 1) for each in IDS}
    for each in IDS:
        record = await rehearsal.record(each)
        assert [one.outcome for one in record.attempts] == ["given_back"]


async def test_a_second_signal_hurries_and_still_gives_back(rehearsal):
    await rehearsal.submit(*(rehearsal.task(each, takes_s=3_600) for each in IDS))
    process = rehearsal.process(grace_ms=3_600_000, lease_ms=3_600_000)
    await all_run(rehearsal)
    rehearsal.signal(process)
    await eventually(lambda: "Stopping" in process.tail())
    assert process.running
    rehearsal.signal(process)
    await rehearsal.leaves(process, within_s=60)
    assert [await rehearsal.state(each) for each in IDS] == ["queued"] * len(IDS)
    assert [(await rehearsal.fields(each))["attempt"] for each in IDS] == ["0"] * len(IDS)


async def test_a_thread_that_does_not_end_holds_up_no_process(rehearsal):
    await rehearsal.submit(rehearsal.task("a", type="mail.thread", takes_s=3_600))
    process = rehearsal.process(grace_ms=0)
    await all_run(rehearsal, ["a"])
    rehearsal.signal(process)
    await rehearsal.leaves(process, within_s=60)
    assert await rehearsal.state("a") == "queued"
