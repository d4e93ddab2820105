"""While the ledger is away outcomes wait on disk: recorded once, settled after, whoever dies."""

import logging
import threading

import pytest

from app.errors import Unavailable
from app.ledger.records import About, Finish, FinishedPart
from app.worker.spool_file import SpoolFile
from app.worker.spool_format import Header, body_of
from tests.integration.worker.house import NAME
from tests.integration.worker.test_leases import Gate, steal
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

MANY = 40
"""More than a worker of these tests may hold in memory."""


@pytest.fixture
def folder(house):
    return house.sqlite_path.parent / "spool"


def spools(folder):
    return sorted(folder.glob("*.spool"))


async def ledger_goes(house):
    # It has said by then whether the queue is paused.
    await house.token()
    house.ledger.away = True


async def submit_many(house, count=MANY, **options):
    ids = [f"t{number}" for number in range(count)]
    await house.submit(*(envelope(task_id, **options) for task_id in ids))
    return ids


async def spooled(house, worker, ids):
    """Wait until the outcomes of these tasks are on disk."""
    await eventually(lambda: worker.spooling.count == len(ids))
    await eventually(lambda: house.metric("spooled_outcomes") == len(ids))


async def leave_a_spool(house, ids, **changes):
    """A worker ran these tasks, could not record them, and was killed."""
    await ledger_goes(house)
    worker = house.worker(**changes)
    await worker.serve(NAME)
    await spooled(house, worker, ids)
    await house.kill(worker)
    house.ledger.away = False


def each_once(house, ids):
    assert sorted(house.mail.calls) == sorted((task_id, 1, 1) for task_id in ids)


async def test_outcomes_are_spooled_and_recorded_once_and_only_then_settled(house, folder):
    await ledger_goes(house)
    worker = house.worker()
    await worker.serve(NAME)
    ids = await submit_many(house)
    # None of them holds a slot, so more are taken than may be held.
    await spooled(house, worker, ids)
    assert worker.slots.held == 0
    assert {await house.state(task_id) for task_id in ids} == {"running"}
    assert len(spools(folder)) == 1
    house.ledger.away = False
    for task_id in ids:
        await house.ends(task_id, "succeeded")
    await eventually(lambda: not spools(folder))
    each_once(house, ids)
    assert worker.slots.held == 0
    await house.counted(len(ids), "tasks_settled_total", outcome="succeeded")
    await eventually(lambda: house.metric("spooled_outcomes") == 0)


async def test_an_outcome_holds_its_slot_until_it_is_on_disk(house, monkeypatch):
    begun, may_end, append = threading.Event(), threading.Event(), SpoolFile.append

    def slowly(file, bodies):
        begun.set()
        may_end.wait(8)
        append(file, bodies)

    worker = house.worker()
    await worker.serve(NAME)
    await ledger_goes(house)
    monkeypatch.setattr(SpoolFile, "append", slowly)
    await house.submit_one()
    try:
        await eventually(begun.is_set)
        assert (worker.slots.held, worker.spooling.count) == (1, 0)
    finally:
        may_end.set()
    await spooled(house, worker, ["a"])
    assert worker.slots.held == 0
    house.ledger.away = False
    await house.ends(state="succeeded")


async def test_after_the_outage_outcomes_go_straight_to_the_ledger(house, folder):
    await ledger_goes(house)
    worker = house.worker()
    await worker.serve(NAME)
    await house.submit_one("during")
    await spooled(house, worker, ["during"])
    house.ledger.away = False
    await house.ends("during")
    await house.submit_one("after")
    await house.ends("after", "succeeded")
    await eventually(lambda: not spools(folder))
    assert not worker.spooling.is_needed


async def test_a_failed_attempt_is_put_off_only_when_the_ledger_has_it(house):
    def fail_once(payload, context):
        if context.attempt == 1:
            raise RuntimeError

    house.mail.do = fail_once
    await ledger_goes(house)
    worker = house.worker()
    await worker.serve(NAME)
    await house.submit_one(retry={"delaysMs": [1], "jitter": 0})
    await spooled(house, worker, ["a"])
    assert await house.is_state("a", "running")
    house.ledger.away = False
    record = await house.ends(state="succeeded")
    assert [each.outcome for each in record.attempts] == ["failed", "succeeded"]
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 2)]


async def test_the_lease_of_a_spooled_task_is_renewed(house):
    await ledger_goes(house)
    worker = house.worker(lease_ms=2_000)
    other = house.worker(lease_ms=2_000)
    await worker.serve(NAME)
    await house.submit_one()
    await spooled(house, worker, ["a"])
    await other.serve(NAME)
    # The other one looks twice a lease: it sees that the task is in good hands.
    beats = []
    renew = worker._heartbeat.renew

    async def counted(claims):
        beats.append(len(claims))
        await renew(claims)

    worker._heartbeat.renew = counted
    await eventually(lambda: len(beats) >= 8)
    assert other.slots.held == 0
    assert set(beats) == {1}
    house.ledger.away = False
    await house.ends(state="succeeded")
    each_once(house, ["a"])


async def test_the_next_worker_writes_what_a_killed_one_left_and_runs_none_of_it(house, folder):
    ids = await submit_many(house)
    await leave_a_spool(house, ids, lease_ms=500)
    assert await house.finished(ids[0]) is None
    # Its leases run out: who asked the ledger before the spool is drained would run them again.
    worker = house.worker(lease_ms=500)
    for task_id in ids:
        await house.ends(task_id, "succeeded")
    each_once(house, ids)
    await eventually(lambda: not spools(folder))
    await eventually(lambda: worker.slots.held == 0)


async def test_a_failed_attempt_of_a_killed_worker_is_not_lost(house):
    def fail_once(payload, context):
        if context.attempt == 1:
            raise RuntimeError

    house.mail.do = fail_once
    await house.submit_one(retry={"delaysMs": [1], "jitter": 0})
    await leave_a_spool(house, ["a"], lease_ms=500)
    house.worker(lease_ms=500)
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 2)]
    assert [each.outcome for each in record.attempts] == ["failed", "succeeded"]


async def test_a_neighbour_that_reclaimed_the_task_waits_for_the_spool_it_adopted(house, folder):
    await house.submit_one()
    await leave_a_spool(house, ["a"], lease_ms=500)
    await ledger_goes(house)
    neighbour = house.worker(lease_ms=500)
    await neighbour.serve(NAME)
    await eventually(lambda: neighbour.slots.held == 1)
    assert neighbour.spooling.count == 1
    house.ledger.away = False
    await house.ends(state="succeeded")
    each_once(house, ["a"])


async def test_two_workers_share_a_folder_and_leave_each_others_files(house, folder):
    gate = house.mail.do = Gate()
    await ledger_goes(house)
    workers = [house.worker(lease_ms=2_000, concurrency=1) for _ in range(2)]
    for worker in workers:
        await worker.serve(NAME)
    await submit_many(house, 2)
    await eventually(lambda: len(house.mail.calls) == 2)
    gate.opened.set()
    await eventually(lambda: [each.spooling.count for each in workers] == [1, 1])
    assert len(spools(folder)) == 2
    # One is killed: the other adopts its file while it lives on with its own.
    await house.kill(workers[0])
    await eventually(lambda: workers[1].spooling.count == 2)
    house.ledger.away = False
    for task_id in ("t0", "t1"):
        await house.ends(task_id, "succeeded")
    each_once(house, ["t0", "t1"])
    await eventually(lambda: not spools(folder))


async def test_a_worker_whose_spool_is_full_takes_no_more_tasks(house, folder, caplog):
    house.mail.do = lambda _payload, _context: "x" * 300_000
    await ledger_goes(house)
    worker = house.worker(spool_max_mb=1)
    await worker.serve(NAME)
    await house.submit(*(envelope(f"t{number}") for number in range(4)))
    # Three fit, the fourth waits in memory.
    await eventually(lambda: (worker.spooling.count, worker.slots.held) == (3, 1))
    await eventually(lambda: worker.slots.room == 0)
    await house.submit(*(envelope(f"u{number}") for number in range(10)))
    polled_ms = worker._fetcher._polled_ms
    await eventually(lambda: worker._fetcher._polled_ms > polled_ms + 1_000)
    assert worker.is_live
    assert len(house.mail.calls) == 4
    assert caplog.text.count("is full (1 MB)") == 1
    assert sum(path.stat().st_size for path in spools(folder)) <= 1 << 20
    house.ledger.away = False
    ids = [*(f"t{number}" for number in range(4)), *(f"u{number}" for number in range(10))]
    for task_id in ids:
        await house.ends(task_id, "succeeded")
    each_once(house, ids)


async def test_a_worker_that_cannot_write_its_spool_says_so_and_keeps_outcomes_in_memory(
    house, caplog
):
    nowhere = house.sqlite_path.parent / "file"
    nowhere.touch()
    worker = house.worker(spool_dir=nowhere / "spool", concurrency=2)
    await eventually(lambda: "cannot be written" in caplog.text and worker.works)
    await ledger_goes(house)
    ids = await submit_many(house, 10)
    await eventually(lambda: worker.slots.held == 4)
    assert worker.spooling.count == 0
    house.ledger.away = False
    for task_id in ids:
        await house.ends(task_id, "succeeded")
    each_once(house, ids)
    assert caplog.text.count("cannot be written") == 1


async def test_a_torn_tail_is_cut_off_and_counted(house, folder):
    ids = await submit_many(house, 5)
    await leave_a_spool(house, ids, lease_ms=500)
    (path,) = spools(folder)
    with path.open("ab") as file:
        file.write(path.read_bytes()[:40])
    house.worker(lease_ms=500)
    for task_id in ids:
        await house.ends(task_id, "succeeded")
    each_once(house, ids)
    damage = house.metrics.registry.get_sample_value(
        "lifeboat_spool_damage_total", {"kind": "torn"}
    )
    assert damage == 1
    await eventually(lambda: not list(folder.iterdir()))


async def test_a_damaged_file_is_kept_aside_and_what_is_sound_in_it_is_recorded(
    house, folder, caplog
):
    ids = await submit_many(house, 5)
    await leave_a_spool(house, ids, lease_ms=500)
    (path,) = spools(folder)
    data = bytearray(path.read_bytes())
    data[data.index(b"/t2") if b"/t2" in data else data.index(b'"t2"')] ^= 1
    path.write_bytes(data)
    house.worker(lease_ms=500)
    for task_id in ids:
        await house.ends(task_id, "succeeded")
    # Its outcome is gone, so it ran again; the others did not.
    assert sorted(house.mail.calls) == sorted([*((each, 1, 1) for each in ids), ("t2", 1, 2)])
    aside = path.with_name(path.name + ".damaged")
    await eventually(lambda: list(folder.iterdir()) == [aside])
    assert aside.read_bytes() == data
    assert f"It is kept as {aside}" in caplog.text


@pytest.mark.parametrize("whose", [{"env": "other"}, {"ledger": "other"}])
async def test_a_file_for_another_ledger_is_left_alone(house, folder, whose, caplog):
    ours = {"env": house.env, "ledger": house.ledger.identity}
    folder.mkdir()
    path = folder / "stranger-1.spool"
    file = SpoolFile.create(path, Header(**{**ours, **whose}, worker="stranger"))
    task = envelope()
    part = FinishedPart(1, "succeeded", 1, "stranger#1", 1, b"1", None)
    write = Finish(NAME.task("a"), task.request_digest, task.raw, part, About.of(task))
    file.append([body_of(write)])
    file.close()
    worker = house.worker()
    await house.submit_one("b")
    await house.ends("b")
    assert await house.record("a") is None
    assert worker.spooling.count == 0
    assert path.exists()
    assert caplog.text.count("is left alone") == 1


async def test_an_outcome_on_disk_is_recorded_although_the_lease_was_lost(house):
    """It happened: whoever holds the task now need not run it."""
    await ledger_goes(house)
    worker = house.worker(lease_ms=1_000)
    await worker.serve(NAME)
    await house.submit_one()
    await spooled(house, worker, ["a"])
    await steal(house)
    await eventually(lambda: not worker.works[0].claims)
    house.ledger.away = False
    await house.ends(state="succeeded")
    each_once(house, ["a"])
    await eventually(lambda: worker.slots.held == 0)


async def test_an_outcome_on_disk_is_recorded_although_redis_was_wiped(house):
    await ledger_goes(house)
    worker = house.worker(lease_ms=500)
    await worker.serve(NAME)
    await house.submit_one()
    await spooled(house, worker, ["a"])
    await house.wipe()
    assert await house.restore(envelope()) == "restored"
    house.ledger.away = False
    await house.ends(state="succeeded")
    each_once(house, ["a"])


async def test_a_stopping_worker_leaves_its_spool_to_the_next_one(house, folder, caplog):
    ids = await submit_many(house, 3)
    await ledger_goes(house)
    worker = house.worker(lease_ms=500)
    await worker.serve(NAME)
    await spooled(house, worker, ids)
    with caplog.at_level(logging.WARNING):
        await house.stop(worker)
    assert f"3 outcomes stay in the spool at {folder}" in caplog.text
    house.ledger.away = False
    house.worker(lease_ms=500)
    for task_id in ids:
        await house.ends(task_id, "succeeded")
    each_once(house, ids)


async def test_what_must_be_asked_about_waits_and_the_others_run(house):
    await ledger_goes(house)
    worker = house.worker()
    await worker.serve(NAME)
    await house.submit_one("given", fresh=False)
    await house.submit_one("fresh")
    await spooled(house, worker, ["fresh"])
    assert house.mail.calls == [("fresh", 1, 1)]
    house.ledger.away = False
    await house.ends("given", "succeeded")
    await house.ends("fresh", "succeeded")


async def test_a_write_that_was_applied_unanswered_and_then_spooled_counts_once(house):
    async def applied_but_unanswered(writes):
        house.ledger.before.clear()
        await house.ledger._inner.finish(writes)
        raise Unavailable("ledger", "the answer got lost")

    house.ledger.before["finish"] = applied_but_unanswered
    await house.submit_one()
    house.worker()
    record = await house.ends(state="succeeded")
    assert len(record.attempts) == 1
    await house.counted(1, "tasks_settled_total", outcome="succeeded")
