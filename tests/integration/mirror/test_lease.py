"""One mirror keeps a journal; another takes over; two at once only cost duplicates."""

import asyncio

from app.broker.presence import Presence, WorkerItem
from app.names import QueueName
from tests.support.eventually import eventually

LONG_MS = 60_000


def task_ids(n, first=0):
    return [f"t{i}" for i in range(first, first + n)]


async def holds(world, mirror):
    return await world.raw.get(world.keys.mirror_lease) == mirror.owner.encode()


async def leader(world, *mirrors):
    """The one of ``mirrors`` that holds the lease."""
    for mirror in mirrors:
        if await holds(world, mirror):
            return mirror
    return None


async def test_a_second_mirror_takes_over_at_once_from_one_that_stops(start_mirror, world):
    # A lease that does not expire within the test: it must have been given back.
    first = start_mirror(mirror_lease_ms=LONG_MS)
    await eventually(lambda: holds(world, first))
    second = start_mirror(mirror_lease_ms=1_000)
    await world.submit("a")
    await eventually(lambda: world.all_marked("a"))
    assert await holds(world, first)
    await first.stop()
    await eventually(lambda: holds(world, second))
    await world.submit("b")
    await eventually(lambda: world.all_marked("b"))
    assert await world.taken_ids() == ["a", "b"]


async def test_a_stopping_mirror_finishes_what_is_in_flight(start_mirror, world):
    mirror = start_mirror(mirror_lease_ms=LONG_MS)
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    await world.submit(*task_ids(2_000))
    await eventually(lambda: (mirror.total("mirror_confirmed_total") or 0) > 1)
    await mirror.stop()
    # What was published and confirmed is marked: the next mirror does not publish it again.
    ids = [each for each in await world.taken_ids() if each != "first"]
    assert ids == task_ids(len(ids))
    assert await world.all_marked(*ids)
    assert len(await world.journal_ids()) == 2_000 - len(ids)
    assert not await world.raw.exists(world.keys.mirror_lease)


async def test_a_lease_is_renewed_as_long_as_its_mirror_lives(start_mirror, world):
    first = start_mirror(mirror_lease_ms=2_000)
    await eventually(lambda: holds(world, first))
    second = start_mirror(mirror_lease_ms=2_000)
    held, until_s = [], asyncio.get_running_loop().time() + 5

    async def looked_often():
        held.append(await holds(world, first))
        return asyncio.get_running_loop().time() > until_s

    await eventually(looked_often)
    assert all(held)
    assert not second.shows("unmirrored_tasks")


async def test_whoever_lost_the_lease_waits_for_it_again(start_mirror, world):
    first = start_mirror()
    # It leads, so that it has something to give up: figures come a moment after the lease.
    await eventually(lambda: first.shows("mirror_blocked"))
    await world.raw.set(world.keys.mirror_lease, "somebody else")
    await eventually(lambda: not first.shows("mirror_blocked"))
    await world.submit("a")
    await world.raw.delete(world.keys.mirror_lease)
    await eventually(lambda: holds(world, first))
    await eventually(lambda: world.all_marked("a"))
    await eventually(lambda: first.shows("mirror_blocked"))


async def test_two_mirrors_at_once_cost_duplicates_and_nothing_else(start_mirror, world):
    mirrors = [start_mirror(mirror_lease_ms=3_000, mirror_window=20) for _ in range(2)]
    await eventually(lambda: leader(world, *mirrors))
    ids = task_ids(600)
    for start in range(0, 600, 50):
        # The lease is torn away: until its next renewal the one that held it goes on.
        await world.raw.delete(world.keys.mirror_lease)
        await world.submit(*ids[start : start + 50])
        await asyncio.sleep(0.05)
    await eventually(lambda: world.all_marked(*ids), within_s=60)
    assert await world.journal_ids() == []
    taken = await world.taken_ids()
    assert list(dict.fromkeys(taken)) == ids


async def test_figures_are_exported_by_the_leader_alone(start_mirror, world, ledger):
    first = start_mirror(mirror_lease_ms=LONG_MS)
    await eventually(lambda: holds(world, first))
    second = start_mirror()
    await world.submit("a", "b")
    await world.submit("later", notBefore=4_000_000_000_000)
    depth = {"scheduled": 1, "queued": 2, "running": 0, "retrying": 0, "dead": 0, "suspended": 0}
    await eventually(lambda: depths(first) == depth)
    await eventually(lambda: first.total("queue_oldest_age_seconds") > 0)
    await eventually(lambda: first.total("unmirrored_tasks") == 0)
    assert first.total("unmirrored_oldest_age_seconds") == 0
    assert first.total("mirror_blocked") == 0
    assert set(depths(second).values()) == {None}
    await first.stop()
    assert set(depths(first).values()) == {None}
    assert not first.shows("unmirrored_tasks")
    await eventually(lambda: depths(second) == depth)
    assert second.total("mirror_blocked") == 0


def depths(mirror):
    states = ("scheduled", "queued", "running", "retrying", "dead", "suspended")
    return {
        state: mirror.metrics.registry.get_sample_value(
            "lifeboat_queue_depth", {"tenant": "acme", "queue": "mail", "state": state}
        )
        for state in states
    }


async def test_the_living_workers_of_the_queue_are_counted(start_mirror, world):
    presence = Presence(world.redis, world.keys.env)
    elsewhere = QueueName(world.keys.name.tenant, "elsewhere")
    for worker, queues in (("both", (world.keys.name, elsewhere)), ("other", (elsewhere,))):
        await presence.announce(WorkerItem(worker, queues, ("send",), 1, 0, 1, 1), LONG_MS)
    mirror = start_mirror()
    await eventually(lambda: mirror.total("workers") == 1)
    await presence.leave("both")
    await eventually(lambda: mirror.total("workers") == 0)
    await mirror.stop()
    assert not mirror.shows("workers")


async def test_what_is_not_mirrored_is_shown_while_rabbitmq_is_away(proxied, world, proxy):
    proxy.hold_requests()
    proxy.cut()
    await world.submit("a", "b")
    await eventually(lambda: proxied.total("unmirrored_tasks") == 2)
    await eventually(lambda: proxied.total("unmirrored_oldest_age_seconds") > 0)
    await eventually(lambda: proxied.total("mirror_blocked") == 1)
    proxy.flow()
    await eventually(lambda: proxied.total("unmirrored_tasks") == 0)
    await eventually(lambda: proxied.total("mirror_blocked") == 0)
