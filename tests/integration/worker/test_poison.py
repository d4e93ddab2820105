"""A task that kills its workers ends dead, whatever its policy allows, also over lost Redises."""

import asyncio

from tests.support.envelopes import envelope
from tests.support.eventually import eventually

MANY = {"maxAttempts": 100, "baseDelayMs": 10, "jitter": 0}


def hanging(house):
    house.mail.do = lambda _payload, _context: asyncio.sleep(60)


async def killed_while_running(house, *, calls, **changes):
    """A worker that is lost with the task's attempt number ``calls``."""
    worker = house.worker(lease_ms=500, **changes)
    await eventually(lambda: len(house.mail.calls) == calls)
    await house.kill(worker)
    return worker


async def test_a_task_whose_workers_were_lost_so_often_is_dead_as_poison(house):
    hanging(house)
    await house.submit_one(retry=MANY)
    lost = [await killed_while_running(house, calls=n, poison_max=2) for n in (1, 2)]
    house.worker(lease_ms=500, poison_max=2)
    record = await house.ends(state="dead")
    assert len(house.mail.calls) == 2
    error = record.finished.error
    assert (error.type, error.retryable) == ("poison", False)
    assert error.message.startswith("2 workers were lost")
    assert [(each.attempt, each.outcome) for each in record.attempts] == [(1, "lost"), (2, "lost")]
    assert [each.worker for each in record.attempts] == [worker.consumer for worker in lost]
    assert record.finished.attempt == 2


async def test_three_is_what_a_task_may_cost(house):
    hanging(house)
    await house.submit_one(retry=MANY)
    for n in (1, 2, 3):
        await killed_while_running(house, calls=n)
    house.worker(lease_ms=500)
    record = await house.ends(state="dead")
    assert record.finished.error.type == "poison"
    assert len(house.mail.calls) == 3


async def test_losses_are_counted_over_failed_attempts_between_them(house):
    hanging(house)
    await house.submit_one(retry=MANY)
    await killed_while_running(house, calls=1, poison_max=2)

    def fail_once(payload, context):
        if context.attempt == 2:
            raise RuntimeError("an ordinary failure")
        return asyncio.sleep(60)

    house.mail.do = fail_once
    await killed_while_running(house, calls=3, poison_max=2)
    house.worker(lease_ms=500, poison_max=2)
    record = await house.ends(state="dead")
    assert record.finished.error.type == "poison"
    assert [each.outcome for each in record.attempts] == ["lost", "failed", "lost"]


async def test_losses_are_counted_over_lost_redises(house):
    hanging(house)
    poison = envelope(retry=MANY)
    lost = []
    for n in (1, 2, 3):
        assert await house.restore(poison) == "restored"
        lost.append(await killed_while_running(house, calls=n))
        await house.wipe()
    await house.restore(poison)
    house.worker()
    record = await house.ends(state="dead")
    assert record.finished.error.type == "poison"
    assert len(house.mail.calls) == 3
    assert [(each.attempt, each.outcome) for each in record.attempts] == [
        (1, "lost"),
        (2, "lost"),
        (3, "lost"),
    ]
    assert [each.worker for each in record.attempts] == [worker.consumer for worker in lost]
    assert all(0 < each.started_at <= each.finished_at for each in record.attempts)


async def test_a_worker_that_outlived_a_lost_redis_was_not_lost_to_the_others_either(house):
    hanging(house)
    task = envelope(retry=MANY)
    for n in (1, 2):
        await house.restore(task)
        living = await killed_while_running(house, calls=n, poison_max=2)
        await house.wipe()
        await house.announce(living)
    await house.restore(task)
    house.mail.do = lambda _payload, _context: None
    house.worker(poison_max=2)
    record = await house.ends(state="succeeded")
    assert [each.outcome for each in record.attempts] == ["lost", "lost", "succeeded"]


async def test_a_task_that_got_over_it_succeeds(house):
    hanging(house)
    await house.submit_one(retry=MANY)
    for n in (1, 2):
        await killed_while_running(house, calls=n)
    house.mail.do = lambda _payload, _context: None
    house.worker(lease_ms=500)
    record = await house.ends(state="succeeded")
    assert [each.outcome for each in record.attempts] == ["lost", "lost", "succeeded"]


async def test_the_next_run_of_a_poisonous_task_begins_without_its_losses(house):
    hanging(house)
    await house.submit_one(retry=MANY)
    await killed_while_running(house, calls=1, poison_max=1)
    worker = house.worker(lease_ms=500, poison_max=1)
    await house.ends(state="dead")
    await house.stop(worker)
    house.mail.do = lambda _payload, _context: None
    await house.wipe()
    await house.restore(envelope(run=2, retry=MANY, digest=envelope(retry=MANY).request_digest))
    house.worker(poison_max=1)

    async def has_run():
        finished = await house.finished()
        return (finished.run, finished.state) == (2, "succeeded")

    await eventually(has_run)


async def test_a_worker_that_outlived_a_restart_of_redis_was_not_lost(house):
    hanging(house)
    await house.submit_one(retry=MANY)
    house.worker(poison_max=1, lease_ms=60_000)
    await eventually(lambda: house.mail.calls)
    await house.raw.hset(house.keys.generation, "run_id", "of-an-earlier-run")
    house.session.forget()
    await eventually(lambda: house.mail.cancelled)
    house.mail.do = lambda _payload, _context: None
    record = await house.ends(state="succeeded")
    assert [each.outcome for each in record.attempts] == ["lost", "succeeded"]


async def test_giving_back_is_no_loss(house):
    hanging(house)
    await house.restore(envelope(retry={"maxAttempts": 1}))
    for n in (1, 2, 3):
        worker = house.worker(grace_ms=0)
        await eventually(lambda: len(house.mail.calls) == n)  # noqa: B023 - awaited here
        await house.stop(worker)
    house.mail.do = lambda _payload, _context: None
    house.worker()
    record = await house.ends(state="succeeded")
    # The only attempt that its policy allows is still there.
    assert house.mail.calls == [("a", 1, 1)] * 4
    assert [each.outcome for each in record.attempts] == ["given_back"] * 3 + ["succeeded"]
