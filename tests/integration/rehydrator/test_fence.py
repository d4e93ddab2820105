"""The fence: nothing counts as looked at because of a mark that came too early (rule 11)."""

import asyncio

import pytest

from app.errors import Unavailable
from mirror.publisher.plain import PlainPublisher
from rehydrator.source import CopySource
from tests.integration.rehydrator.world import many
from tests.support.envelopes import envelope
from tests.support.eventually import eventually


async def arrived(opening, n):
    await eventually(lambda: opening.source.waiting == n)


async def test_a_fence_does_not_pass_over_copies_nobody_could_judge(world, open_copies):
    await world.copy(*many(3))
    opening = await open_copies()
    await opening.publish_fence()
    await arrived(opening, 4)
    with world.locked_ledger():
        assert await opening.take(10, 0) == 4
        await opening.look(ask_all=True)
        assert opening.fences.seen
        assert not opening.fence_passed
    await opening.look(ask_all=True)
    assert opening.fence_passed
    assert len(await world.broker.ready_ids()) == 3
    await opening.close()


async def test_a_fence_does_not_pass_over_what_is_not_yet_in_the_quarantine(world, open_copies):
    await world.accept(envelope("a"))
    await world.copy(envelope("a", payload={"to": "somebody else"}))
    opening = await open_copies()
    await opening.publish_fence()
    await arrived(opening, 3)
    await opening.take(10, 0)
    for copy in opening.holdings.new[1:]:
        opening._actions._conflict(copy, "another request")
    opening.holdings.keep(opening.holdings.new)
    assert not opening.fence_passed
    await opening.look(ask_all=True)
    assert opening.fence_passed
    await opening.close()


async def test_the_fence_of_an_earlier_opening_counts_for_nothing(world, open_copies):
    earlier = await open_copies()
    await earlier.publish_fence()
    await earlier.close()
    await eventually(lambda: world.is_ready(1))
    await world.accept(envelope("a"))
    opening = await open_copies(prefetch=1)
    await opening.publish_fence()
    assert await opening.take(1, 20_000) == 1
    assert not opening.fences.seen
    assert opening.fences.waiting
    await opening.take(1, 20_000)
    await opening.look(ask_all=True)
    assert [copy.task_id for copy in opening.holdings.held] == ["a"]
    assert not opening.fence_passed
    await opening.reach_for_fence()
    await opening.take(1, 20_000)
    assert opening.fence_passed
    await opening.close()
    assert await world.ready() == 1


async def test_on_several_channels_what_came_before_the_fence_is_waited_for(world, open_copies):
    await world.accept(*many(60))
    opening = await open_copies(prefetch=30)
    for _ in range(2):
        await opening.source.grow()
    await opening.publish_fence()
    await arrived(opening, 61)
    # Channels overtake each other: here the fence did.
    waiting = opening.source._arrived
    fence = next(each for each in waiting if not each.body)
    waiting.remove(fence)
    waiting.appendleft(fence)
    await opening.take(1, 20_000)
    assert opening.fences.seen
    while not opening.fence_passed:
        assert await opening.take(7, 20_000)
        await opening.look(ask_all=True)
    assert len(opening.holdings.held) == 60
    assert await opening.close()
    assert await world.ready() == 60


async def test_the_window_is_widened_before_it_is_full(world, open_copies):
    await world.copy(*many(7))
    opening = await open_copies(prefetch=10)
    await opening.publish_fence()
    await arrived(opening, 8)
    assert await opening.take_and_look(3, 0, lambda: None) == 8
    assert opening.fence_passed
    assert opening.source.lanes == 2
    assert await opening.close()
    assert await world.ready() == 7


async def test_a_window_that_cannot_be_widened_ends_the_look(world, open_copies, monkeypatch):
    await world.copy(*many(7))
    opening = await open_copies(prefetch=10)

    async def fail(_source):
        raise Unavailable("rabbitmq", "no more channels")

    monkeypatch.setattr(CopySource, "grow", fail)
    await opening.publish_fence()
    await arrived(opening, 8)
    with pytest.raises(Unavailable, match="no more channels"):
        await opening.take_and_look(3, 0, lambda: None)
    await opening.close()
    assert await world.ready() >= 7


async def test_copies_are_looked_at_before_the_fence_is_confirmed(world, open_copies, monkeypatch):
    publish, looked = PlainPublisher.publish, asyncio.Event()

    async def confirm_when_one_was_looked_at(publisher, batch, deadline_ms):
        outcomes = await publish(publisher, batch, deadline_ms)
        await looked.wait()
        return outcomes

    monkeypatch.setattr(PlainPublisher, "publish", confirm_when_one_was_looked_at)
    await world.copy(*many(7))
    opening = await open_copies()
    async with asyncio.timeout(60), opening.publishing_fence():
        while not opening.fence_passed:
            await opening.take_and_look(3, 50, looked.set)
    assert len(await world.broker.ready_ids()) == 7
    assert await opening.close()
