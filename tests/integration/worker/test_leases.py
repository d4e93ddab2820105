"""Who may run and settle a task: leases kept, lost, taken over; generations; stopping."""

import asyncio

import pytest

from app.errors import Unavailable
from tests.integration.worker.house import NAME, House
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

LONG_MS = 3_000
"""A lease that no process loses because others have the cores; a beat comes each quarter."""


class Gate:
    """A handler that waits until the test lets it go on, and heeds no cancellation before."""

    def __init__(self):
        self.opened = asyncio.Event()

    async def __call__(self, payload, context):
        await self.opened.wait()
        return context.attempt


async def never(*_arguments):
    await asyncio.Event().wait()


async def owner(house):
    """The consumer that holds the one pending entry, if any."""
    found = await house.raw.xpending_range(house.keys.lanes[1], "workers", "-", "+", 10)
    return found[0]["consumer"].decode() if found else None


async def steal(house, consumer="thief"):
    """Another worker claims every pending entry, as if this one had been silent."""
    token = await house.token()
    _, entries = await house.delivery.reclaim(token, consumer, 2, 0, 100)
    return entries


async def test_a_lease_is_renewed_while_a_task_runs_longer_than_it(house):
    async def long(payload, context):
        await asyncio.sleep(6)

    house.mail.do = long
    await house.submit_one()
    # One that has no room does not look for silent workers, and so not for itself.
    house.worker(lease_ms=2_000, concurrency=1)
    await eventually(lambda: house.mail.calls)
    house.worker(lease_ms=2_000)
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]
    assert record.finished.attempt == 1
    assert house.metric("lease_lost_total") == 0


async def test_a_run_whose_lease_is_lost_is_stopped_and_writes_nothing(house):
    house.mail.do = Gate()
    await house.submit_one()
    worker = house.worker(lease_ms=LONG_MS)
    await eventually(lambda: house.mail.calls)
    await steal(house)
    await eventually(lambda: house.mail.cancelled)
    await eventually(lambda: worker.slots.held == 0)
    assert await house.record() is None
    assert await owner(house) == "thief"
    assert await house.is_state("a", "running")
    assert house.metric("lease_lost_total") == 1


async def test_the_late_outcome_of_a_paused_worker_writes_nothing(house):
    """It was silent for more than a lease: no heartbeat has told it yet that it lost the task."""
    gate = house.mail.do = Gate()
    await house.submit_one()
    worker = house.worker(lease_ms=60_000)
    await eventually(lambda: house.mail.calls)
    await steal(house)
    for claim in worker.works[0].claims.values():
        claim.held_until_ms = 0
    gate.opened.set()
    await eventually(lambda: worker.slots.held == 0)
    assert await house.record() is None
    assert house.ledger.opened() == []
    assert await owner(house) == "thief"


def late_start(worker, meanwhile):
    """Have the answer to ``start`` come when the lease has run out, ``meanwhile`` having happened."""
    delivery = worker.works[0].delivery
    start = delivery.start

    async def late(*arguments):
        verdicts = await start(*arguments)
        await meanwhile()
        for claim in worker.works[0].claims.values():
            claim.held_until_ms = 0
        return verdicts

    delivery.start = late


@pytest.mark.parametrize("fresh", [True, False])
async def test_what_was_lost_while_its_start_was_awaited_does_not_run(house, fresh):
    """The process stood still between a start and its answer: another may have recorded it."""
    worker = house.worker(lease_ms=60_000)
    await eventually(lambda: worker.works)
    stolen = []

    async def meanwhile():
        stolen.extend(await steal(house))

    late_start(worker, meanwhile)
    await house.submit_one(fresh=fresh)
    await eventually(lambda: stolen)
    await eventually(lambda: worker.slots.held == 0)
    assert house.mail.calls == []
    assert await owner(house) == "thief"


async def test_a_late_but_held_start_runs(house):
    worker = house.worker(lease_ms=60_000)
    await eventually(lambda: worker.works)

    async def nothing():
        pass

    late_start(worker, nothing)
    await house.submit_one()
    await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]


async def test_an_outcome_that_waits_in_memory_is_dropped_when_the_lease_is_lost(house):
    def go_away(payload, context):
        house.ledger.away = True

    house.mail.do = go_away
    await house.submit_one()
    nowhere = house.sqlite_path.parent / "file"
    nowhere.touch()
    worker = house.worker(lease_ms=LONG_MS, spool_dir=nowhere / "spool")
    await eventually(lambda: house.mail.calls)
    await steal(house)
    await eventually(lambda: house.metric("lease_lost_total") == 1)
    house.ledger.away = False
    house.mail.do = lambda _payload, _context: None
    await house.submit_one("b")
    await house.ends("b", "succeeded")
    await eventually(lambda: worker.slots.held == 0)
    assert await house.record("a") is None
    assert await owner(house) == "thief"


async def test_an_outcome_within_a_doubtful_but_held_lease_is_written(house):
    gate = house.mail.do = Gate()
    await house.submit_one()
    worker = house.worker()
    await eventually(lambda: house.mail.calls)
    for claim in worker.works[0].claims.values():
        claim.held_until_ms = 0
    gate.opened.set()
    await house.ends(state="succeeded")


async def test_the_task_of_a_dead_worker_is_taken_over(house):
    house.mail.do = Gate()
    await house.submit_one()
    dead = house.worker(lease_ms=500)
    await eventually(lambda: house.mail.calls)
    await house.kill(dead)
    house.mail.do = lambda _payload, context: context.attempt
    living = house.worker(lease_ms=500)
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 2)]
    assert house.ledger.asked() == ["a"]
    # Rule 4: a reclaimed entry is recorded as started before it runs.
    assert [(part.attempt, part.phase) for part in house.ledger.opened()] == [(2, "started")]
    lost, last = record.attempts
    assert (lost.attempt, lost.outcome, lost.worker) == (1, "lost", dead.consumer)
    assert (last.attempt, last.outcome, last.worker) == (2, "succeeded", living.consumer)


async def test_a_task_whose_worker_died_after_the_ledger_had_it_is_only_settled(house):
    house.mail.do = Gate()
    await house.submit_one()
    dead = house.worker(lease_ms=500)
    await eventually(lambda: house.mail.calls)
    dead.works[0].delivery.settle = never
    house.mail.do.opened.set()
    await eventually(house.finished)
    await house.kill(dead)
    house.worker(lease_ms=500)
    await eventually(lambda: house.is_state("a", "succeeded"))
    await eventually(house.is_idle)
    assert house.mail.calls == [("a", 1, 1)]


async def test_a_task_that_always_kills_its_worker_ends_dead(house):
    house.mail.do = Gate()
    await house.submit_one(retry={"delaysMs": [1], "jitter": 0})
    for attempt in (1, 2):
        worker = house.worker(lease_ms=500)
        await eventually(lambda: len(house.mail.calls) == attempt)  # noqa: B023 - awaited here
        await house.kill(worker)
    house.worker(lease_ms=500)
    record = await house.ends(state="dead")
    assert record.finished.error.type == "attempts_exhausted"
    assert [each.outcome for each in record.attempts] == ["lost", "lost"]


async def test_entries_fetched_by_a_call_whose_answer_was_lost_are_found_again(house):
    await house.submit_one()
    worker = house.worker()
    await eventually(house.finished)
    work = worker.works[0]
    fetch = work.delivery.fetch

    async def unanswered(*arguments, own=False, **options):
        fetched = await fetch(*arguments, own=own, **options)
        if fetched.entries and not own:
            work.delivery.fetch = fetch
            raise Unavailable("redis", "the answer got lost")
        return fetched

    work.delivery.fetch = unanswered
    await house.submit_one("b")
    record = await house.ends("b", "succeeded")
    assert record.finished.attempt == 1
    # Nobody's attempt was lost: it had never started.
    assert [each.outcome for each in record.attempts] == ["succeeded"]


async def test_an_attempt_is_counted_once_when_the_answer_to_its_start_was_lost(house):
    worker = house.worker()
    await eventually(lambda: worker.works)
    delivery = worker.works[0].delivery
    start = delivery.start

    async def unanswered(*arguments):
        await start(*arguments)
        delivery.start = start
        raise Unavailable("redis", "the answer got lost")

    delivery.start = unanswered
    await house.submit_one()
    await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]


async def test_after_another_generation_claims_are_forgotten_and_work_goes_on(house):
    """The server restarted with its data: what was learnt from its former run holds no more."""
    house.mail.do = Gate()
    await house.submit_one()
    worker = house.worker()
    await eventually(lambda: house.mail.calls)
    await house.raw.hset(house.keys.generation, "run_id", "of-an-earlier-run")
    house.session.forget()
    house.mail.do = lambda _payload, context: context.attempt
    await eventually(lambda: house.mail.cancelled)
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 2)]
    assert record.finished.attempt == 2
    assert house.ledger.asked() == ["a"]
    await eventually(lambda: worker.slots.held == 0)


async def test_redis_lost_between_ledger_and_settling_does_not_bring_the_task_back(house):
    async def lose_redis(writes):
        await house.wipe()
        assert await house.restore(envelope()) == "restored"

    house.ledger.before["finish"] = lose_redis
    await house.submit_one()
    worker = house.worker()
    await eventually(house.finished)
    await eventually(lambda: house.is_state("a", "succeeded"))
    assert house.mail.calls == [("a", 1, 1)]
    await eventually(lambda: worker.slots.held == 0)


async def test_a_stopping_worker_lets_its_tasks_end(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(0.3)
    await house.submit_one()
    worker = house.worker(grace_ms=20_000)
    await eventually(lambda: house.mail.calls)
    await house.stop(worker)
    assert (await house.finished()).state == "succeeded"
    assert await house.is_state("a", "succeeded")
    assert house.mail.cancelled == []


async def test_a_stopping_worker_gives_back_what_does_not_end_in_time(house):
    house.mail.do = Gate()
    await house.submit_one()
    worker = house.worker(grace_ms=0)
    await eventually(lambda: house.mail.calls)
    await house.stop(worker)
    assert house.mail.cancelled == ["a"]
    record = await house.record()
    assert (record.finished, record.open.attempt) == (None, 0)
    assert [each.outcome for each in record.attempts] == ["given_back"]
    fields = await house.fields()
    assert (fields["state"], fields["attempt"]) == ("queued", "0")
    assert worker.slots.held == 0
    house.mail.do = lambda _payload, context: context.attempt
    house.worker()
    record = await house.ends(state="succeeded")
    # The attempt given back is not counted, and no lease had to run out.
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 1)]
    assert record.finished.attempt == 1
    assert [each.outcome for each in record.attempts] == ["given_back", "succeeded"]


async def test_a_stopping_worker_gives_back_what_waits_for_the_ledger(house):
    await house.submit_one(fresh=False)
    house.ledger.away = True
    worker = house.worker(grace_ms=0)
    await worker.serve(NAME)
    await eventually(lambda: worker.slots.held == 1)
    await house.stop(worker)
    assert await owner(house) is None
    assert await house.ready() == 1
    assert await house.is_state("a", "queued")


async def test_a_stopping_worker_takes_nothing_more(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(0.3)
    await house.submit_one()
    worker = house.worker()
    await eventually(lambda: house.mail.calls)
    stopping = asyncio.create_task(house.stop(worker))
    await asyncio.sleep(0)
    await house.submit_one("b")
    await stopping
    assert [call[0] for call in house.mail.calls] == ["a"]
    assert await house.is_state("b", "queued")


async def test_a_worker_that_fails_in_deciding_ends_instead_of_holding_on(house):
    worker = house.worker()
    await eventually(lambda: worker.works)

    async def broken(*arguments):
        raise ArithmeticError

    worker.works[0].delivery.start = broken
    await house.submit_one()
    (task,) = [task for each, task in house._workers if each is worker]
    with pytest.raises(ArithmeticError):
        await asyncio.wait_for(task, 60)
    # What it held went back for others.
    assert await owner(house) is None
    assert await house.ready() == 1


@pytest.fixture
async def lone_house(private_redis, env_name, sqlite_path):
    """With a Redis of its own, to be killed and wiped."""
    house = House(private_redis.url, env_name, sqlite_path)
    await house.open()
    yield house
    await private_redis.restart()
    house.connect()
    await house.close()


async def test_an_outcome_found_while_redis_is_away_is_recorded_and_settled_later(
    lone_house, private_redis
):
    house = lone_house
    gate = house.mail.do = Gate()
    await house.submit_one()
    house.worker()
    await eventually(lambda: house.mail.calls)
    private_redis.process.pause()
    gate.opened.set()
    await eventually(house.finished)
    private_redis.process.resume()
    await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]


async def test_a_worker_goes_on_after_redis_was_wiped(lone_house, private_redis):
    house = lone_house
    done = envelope("done")
    await house.submit(done, envelope("open"))
    house.mail.do = lambda _payload, context: (
        asyncio.sleep(60) if context.key.task_id == "open" and context.attempt == 1 else None
    )
    house.worker(lease_ms=2_000)
    await house.ends("done")
    await eventually(lambda: ("open", 1, 1) in house.mail.calls)
    private_redis.wipe()
    await private_redis.start()
    house.connect()
    house.mail.do = lambda _payload, _context: None
    for each in (done, envelope("open")):
        assert await house.restore(each) == "restored"
    await house.ends("open", "succeeded")
    await eventually(lambda: house.is_state("done", "succeeded"))
    assert [call for call in house.mail.calls if call[0] == "done"] == [("done", 1, 1)]
