"""Redriven tasks over a loss of Redis: the run that was made comes back, the one before does not."""

from app.broker.intake import Submission
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

FIRST = envelope("a")
NEXT = envelope("a", run=2, payload={"to": "edited"}, digest=FIRST.request_digest)


async def redrive(world):
    (answer,) = await world.broker.intake.redrive(world.broker.token, [Submission(NEXT, False)])
    assert answer.outcome == "created"


async def test_a_confirmed_run_comes_back_and_the_dead_one_leaves_with_its_copy(world):
    await world.accept(FIRST)
    await world.finish(FIRST, "dead")
    await redrive(world)
    await world.mirror()
    await world.broker.lose_everything()
    async with world.service() as service:
        await service.noted(restored=1, finished=1)
    entry = await world.broker.fetch_one()
    assert (entry.run, entry.envelope) == (2, NEXT.raw)
    started = await world.broker.start(entry, asked=True)
    assert (started.verdict, started.attempt) == ("run", 1)


async def test_a_run_that_was_not_confirmed_is_dead_as_before_and_can_be_made_again(world):
    await world.accept(FIRST)
    await world.finish(FIRST, "dead")
    await redrive(world)
    await world.broker.lose_everything()
    async with world.service() as service:
        await service.noted(finished=1)
        await world.at_rest()
    assert (await world.broker.inspect()).standing == "absent"
    await redrive(world)
    assert await world.broker.ready_ids() == ["a"]


async def test_while_redis_is_there_the_copy_of_the_dead_run_leaves_and_the_new_one_stays(world):
    await world.accept(FIRST)
    async with world.service() as service:
        await service.noted(present=1)
        await world.finish(FIRST, "dead")
        await redrive(world)
        await world.mirror()
        await service.noted(finished=1, present=2)
    await eventually(lambda: world.is_ready(1))
    assert (await world.broker.task())["run"] == "2"
    assert await world.broker.intake.mirrored(world.broker.token, [("a", 2)]) == [True]
