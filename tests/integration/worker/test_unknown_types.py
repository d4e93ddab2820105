"""A type that a worker does not know: given back, suspended, or run by one who knows it."""

import asyncio
import logging
import time

import pytest

from app.broker.presence import Presence, WorkerItem
from app.registry import Suspend, TaskRegistry
from app.worker import presence, resuming, unknown
from app.worker.presence import Neighbours
from tests.integration.worker.house import NAME, TYPE
from tests.support.envelopes import envelope
from tests.support.eventually import eventually


@pytest.fixture
def impatient(monkeypatch):
    """A moment is long enough where the length of the wait is not the point."""
    monkeypatch.setattr(unknown, "UNKNOWN_FOR_MS", 600)
    monkeypatch.setattr(unknown, "AGAIN_AFTER_MS", 20)


def ignorant(house, **changes):
    return house.worker(registry=TaskRegistry(), **changes)


async def given_back_at(house, task_id="a"):
    """Since when it was given back, in Redis's time; None: it does not lie there now."""
    return (await house.fields(task_id)).get("unknown_since")


async def is_suspended(house, task_id="a"):
    finished = await house.finished(task_id)
    return finished is not None and finished.state == "suspended"


async def has_run(house, task_id):
    """Its second run, that is."""
    finished = await house.finished(task_id)
    return (finished.run, finished.state) == (2, "succeeded")


async def is_listed(house, worker):
    return any(each.worker == worker.consumer for each in await house.workers())


async def test_it_is_given_back_uncounted_and_run_by_one_who_starts_in_time(house):
    await house.submit_one()
    ignorant(house)
    await eventually(lambda: given_back_at(house))
    assert await house.is_state("a", "queued")
    house.worker()
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1)]
    assert record.finished.run == 1


async def test_after_the_time_it_is_suspended_unrun(house):
    began = asyncio.get_running_loop().time()
    await house.submit_one()
    ignorant(house)
    record = await house.ends(state="suspended")
    assert asyncio.get_running_loop().time() - began >= 5
    assert record.finished.error.type == "unknown_type"
    assert TYPE in record.finished.error.message
    assert record.attempts == ()


@pytest.mark.usefixtures("impatient")
async def test_one_that_expired_meanwhile_ends_expired(house):
    await house.submit_one(expiresAt=1)
    ignorant(house)
    await house.ends(state="expired")


@pytest.mark.usefixtures("impatient")
async def test_while_another_worker_knows_it_it_is_given_back_for_it_however_long(house):
    busy = asyncio.Event()
    house.mail.do = lambda _payload, _context: busy.wait()
    knowing = house.worker(concurrency=1)
    await eventually(lambda: is_listed(house, knowing))
    await house.submit_one("first")
    await eventually(lambda: house.mail.calls)
    await house.submit_one("second")
    ignorant(house)
    first_time = await eventually(lambda: given_back_at(house, "second"))

    async def far_later():
        fields = await house.fields("second")
        return int(fields.get("unknown_since", 0)) - int(first_time) > 1_500

    await eventually(far_later)
    assert not await is_suspended(house, "second")
    busy.set()
    await house.ends("second", "succeeded")


@pytest.mark.usefixtures("impatient")
async def test_before_it_is_suspended_the_worker_looks_once_more_for_one_who_knows_it(
    house, monkeypatch
):
    monkeypatch.setattr(presence, "KNOWN_FOR_MS", 3_600_000)
    monkeypatch.setattr(unknown, "UNKNOWN_FOR_MS", 3_000)
    ignorant(house)
    await house.submit_one()
    first = await eventually(lambda: given_back_at(house))
    now = time.time_ns() // 1_000_000
    item = WorkerItem("new", (NAME,), (TYPE,), 1, 1, now, now)
    await Presence(house.redis, house.env).announce(item, 3_600_000)

    async def began_anew():
        return int((await house.fields()).get("unknown_since", first)) - int(first) >= 3_000

    await eventually(began_anew)
    assert not await is_suspended(house)


@pytest.mark.usefixtures("impatient")
async def test_a_worker_of_another_queue_does_not_count(house):
    await house.ledger.ensure_queue("acme", "other", 10)
    elsewhere = house.worker(queue="other")
    await eventually(lambda: is_listed(house, elsewhere))
    await house.submit_one()
    ignorant(house)
    await house.ends(state="suspended")


@pytest.mark.usefixtures("impatient")
async def test_it_comes_back_no_more_often_than_its_pace(house, monkeypatch):
    monkeypatch.setattr(unknown, "UNKNOWN_FOR_MS", 3_000)
    monkeypatch.setattr(unknown, "AGAIN_AFTER_MS", 500)
    worker = ignorant(house)
    await eventually(lambda: worker.works)
    delivery, calls = worker.works[0].delivery, []
    give_back_later = delivery.give_back_later

    async def counted(*arguments, **options):
        calls.append(arguments)
        return await give_back_later(*arguments, **options)

    delivery.give_back_later = counted
    await house.submit_one()
    await house.ends(state="suspended")
    assert 2 <= len(calls) <= 8


@pytest.mark.usefixtures("impatient")
async def test_the_suspended_is_resumed_by_a_worker_that_knows_its_type(house, caplog):
    caplog.set_level(logging.INFO)
    await house.submit(envelope("a"), envelope("b", priority="high"))
    first = ignorant(house)
    await eventually(lambda: is_suspended(house, "a"))
    await eventually(lambda: is_suspended(house, "b"))
    await house.stop(first)
    house.worker()

    for task_id in "ab":
        await eventually(lambda task_id=task_id: has_run(house, task_id))
    assert sorted(house.mail.calls) == [("a", 2, 1), ("b", 2, 1)]
    record = await house.record("a")
    assert record.request_digest == envelope("a").request_digest
    said = f"tasks of {NAME.tenant}/{NAME.queue} whose type is known now"
    await eventually(lambda: said in caplog.text)


@pytest.mark.usefixtures("impatient")
async def test_one_suspended_after_a_knowing_worker_started_is_resumed_too(house, monkeypatch):
    monkeypatch.setattr(resuming, "AGAIN_AFTER_MS", 100)
    monkeypatch.setattr(Neighbours, "known", nobody)
    busy = asyncio.Event()
    house.mail.do = lambda _payload, _context: busy.wait()
    await house.submit_one("first")
    knowing = house.worker(concurrency=1)
    await eventually(lambda: house.mail.calls)
    await eventually(lambda: knowing._resumer._look_at_ms)
    await house.submit_one("a")
    first = ignorant(house)
    await eventually(lambda: is_suspended(house))
    await house.stop(first)
    busy.set()
    await eventually(lambda: has_run(house, "a"))


async def nobody(*_arguments, **_options):
    return set()


async def test_what_a_handler_suspended_is_not_resumed_by_a_start(house):
    def ask(payload, context):
        raise Suspend("look", type="approval")

    house.mail.do = ask
    await house.submit_one()
    first = house.worker()
    await house.ends(state="suspended")
    await house.stop(first)
    second = house.worker()
    await eventually(lambda: second._resumer._look_at_ms)
    assert (await house.finished()).run == 1
    assert await house.ready() == 0


async def test_the_attempt_of_a_worker_that_was_lost_stays_counted(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)
    await house.submit_one()
    dead = house.worker(lease_ms=500)
    await eventually(lambda: house.mail.calls)
    await house.kill(dead)
    ignorant(house, lease_ms=500)
    await eventually(lambda: given_back_at(house))
    house.mail.do = lambda _payload, _context: None
    house.worker(lease_ms=60_000)
    record = await house.ends(state="succeeded")
    assert house.mail.calls == [("a", 1, 1), ("a", 1, 2)]
    assert [each.outcome for each in record.attempts] == ["lost", "succeeded"]
