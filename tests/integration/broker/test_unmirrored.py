"""``enqueue.lua`` and ``redrive.lua`` where there is no RabbitMQ: nothing is journaled."""

import pytest

from app.broker.intake import Submission
from app.state import TaskState
from tests.support.broker import FRESH_DEDUP_MS, Broker, settle_of
from tests.support.envelopes import envelope


@pytest.fixture
async def alone(redis, env_name):
    broker = Broker(redis, env_name, unmirrored_max=None)
    await broker.attach()
    return broker


async def test_nothing_is_journaled_and_no_limit_of_unmirrored_tasks_is_met(alone):
    (answer,) = await alone.submit(envelope())
    assert (answer.outcome, answer.journal_id, answer.mirrored) == ("created", "", False)
    assert await alone.journal_ids() == []
    assert "jid" not in await alone.task()


async def test_a_settled_task_is_forgotten_in_time_although_nothing_trims(alone):
    await alone.settle(settle_of(await alone.running()))
    ttl = await alone.raw.pttl(alone.keys.task("a"))
    assert 0 < ttl <= FRESH_DEDUP_MS


async def test_a_next_run_is_not_journaled_either(alone):
    entry = await alone.running()
    await alone.settle(settle_of(entry, TaskState.DEAD))
    (answer,) = await alone.intake.redrive(alone.token, [Submission(envelope(run=2), fresh=False)])
    assert (answer.outcome, answer.run, answer.journal_id) == ("created", 2, "")
    assert await alone.journal_ids() == []
