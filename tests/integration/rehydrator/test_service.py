"""The standing rehydrator against real servers: hold, retire, restore; never let go too early."""

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import pytest

from app.amqp.connection import open_channel
from app.amqp.topology import mirror_queue
from app.lifecycle import cancel
from rehydrator.lease import Lease, queue_lease
from rehydrator.source import CopySource
from tests.integration.rehydrator.world import FAST, many, of_tenant
from tests.support.broker import FAR_MS, settle_unseen
from tests.support.envelopes import QUEUE, envelope
from tests.support.eventually import eventually
from tests.support.proxy import Proxy


async def test_a_finished_copy_leaves_and_an_unfinished_one_stays(world):
    done, running = envelope("done"), envelope("running")
    await world.accept(done, running)
    async with world.service() as service:
        await service.noted(present=2)
        assert service.count("finished") == 0
        await world.finish(done)
        await service.noted(finished=1)
        await world.at_rest()
    assert await world.ready() == 1
    assert service.total(service.metrics.copies_retired) == 1


async def test_a_copy_of_a_task_of_a_fences_type_is_no_fence(world):
    task = envelope(type="lifeboat.fence")
    await world.accept(task)
    async with world.service() as service:
        await service.noted(present=1)
        await world.broker.lose_everything()
        await service.noted(restored=1)
        await world.at_rest()
    assert await world.ready() == 1


@pytest.mark.parametrize("state", ["cancelled", "expired", "dead", "suspended", "discarded"])
async def test_every_finished_state_retires_its_copy(world, state):
    await world.accept(envelope())
    await world.finish(envelope(), state)
    async with world.service() as service:
        await service.noted(**{state if state in ("cancelled", "expired") else "finished": 1})
        await world.at_rest()
    assert await world.ready() == 0


async def test_the_ledgers_word_is_taken_from_mongodb_too(make_world, mongo_url):
    world = await make_world(mongo_url=mongo_url)
    await world.accept(*many(30))
    async with world.service() as service:
        await service.noted(present=30)
        for each in many(20):
            await world.finish(each)
        await service.noted(finished=20)
        await world.broker.lose_everything()
        await service.noted(restored=10)
        await world.at_rest()
    assert await world.ready() == 10


async def test_everything_comes_back_after_a_wipe(world):
    tasks = many(40)
    await world.accept(*tasks)
    async with world.service() as service:
        await service.noted(present=40)
        await world.broker.lose_everything()
        await service.noted(restored=40)
    assert sorted(await world.broker.ready_ids()) == sorted(each.task_id for each in tasks)
    task = await world.broker.task("task-7")
    assert (task["suspect"], task["mirrored"], task["state"]) == ("1", "1", "queued")
    assert await world.ready() == 40


async def test_redis_killed_and_emptied_under_the_service(make_world, private_redis):
    world = await make_world(redis_url=private_redis.url)
    await world.accept(*many(25))
    async with world.service() as service:
        await service.noted(present=25)
        private_redis.wipe()
        await private_redis.start()
        await service.noted(restored=25)
        await world.reattach()
        assert len(await world.broker.ready_ids()) == 25
        await world.at_rest()


async def test_what_is_over_does_not_come_back(world):
    over, left = envelope("over"), envelope("left")
    await world.accept(over, left)
    await world.record(over)
    await world.broker.lose_everything()
    async with world.service() as service:
        await service.noted(restored=1, finished=1)
    assert await world.broker.ready_ids() == ["left"]


async def test_ended_attempts_and_due_times_survive_the_wipe(world):
    failed, started = envelope("failed"), envelope("started")
    await world.accept(failed, started, envelope("fresh"))
    await world.record_open(failed, attempt=3, phase="failed", due_ms=FAR_MS)
    await world.record_open(started, attempt=2, phase="started")
    await world.broker.lose_everything()
    async with world.service() as service:
        await service.noted(restored=3)
    task = await world.broker.task("failed")
    assert (task["state"], task["attempt"], task["due"]) == ("retrying", "3", str(FAR_MS))
    task = await world.broker.task("started")
    assert (task["state"], task["attempt"]) == ("queued", "2")
    assert "attempt" not in await world.broker.task("fresh")


async def test_a_task_accepted_while_redis_was_away_is_brought_in(world):
    async with world.service() as service:
        await world.copy(envelope("a"))
        await service.noted(restored=1)
    assert await world.broker.ready_ids() == ["a"]


async def test_a_tenant_redis_has_never_seen_is_served(world):
    async with world.service() as service:
        await world.copy(of_tenant("other", "a"))
        await service.noted(restored=1)


async def test_a_lost_hash_is_healed(world):
    await world.accept(*many(5))
    async with world.service() as service:
        await service.noted(present=5)
        await world.broker.lose_hash("task-3")
        await service.noted(restored=1)
        assert (await world.broker.task("task-3"))["suspect"] == "1"


async def test_a_lost_ready_stream_is_healed(world):
    await world.accept(*many(5), envelope("later", notBefore=FAR_MS))
    async with world.service() as service:
        await service.noted(present=6)
        await world.broker.lose_lane()
        await service.noted(restored=5)
    assert len(await world.broker.ready_ids()) == 5
    assert (await world.broker.task("later")).get("suspect") is None


async def test_a_lost_delayed_set_is_healed(world):
    await world.accept(envelope("later", notBefore=FAR_MS))
    async with world.service() as service:
        await service.noted(present=1)
        await world.broker.raw.delete(world.broker.keys.delayed)
        await service.noted(restored=1)
    assert await world.broker.raw.zscore(world.broker.keys.delayed, "later") == FAR_MS


async def test_a_hash_of_a_lower_run_is_replaced(world):
    """Run 1 was rolled back into Redis; run 2, a redrive, is what must run."""
    await world.broker.submit(envelope("a", run=1))
    await world.record(envelope("a", run=1), "dead")
    await world.copy(envelope("a", run=2))
    async with world.service() as service:
        await service.noted(restored=1)
    assert (await world.broker.task("a"))["run"] == "2"
    assert await world.broker.ready_ids() == ["a"]


async def test_a_copy_of_an_older_run_leaves_only_when_the_ledger_has_that_run(world):
    await world.broker.submit(envelope("a", run=2))
    await world.copy(envelope("a", run=1))
    async with world.service() as service:
        await service.noted(present=1)
        assert service.count("finished") == 0
        await world.record(envelope("a", run=1), "dead")
        await service.noted(finished=1)
        await world.at_rest()
    assert await world.ready() == 0
    assert (await world.broker.task("a"))["state"] == "queued"


async def test_a_hash_left_open_is_settled_before_its_copy_leaves(world):
    """The worker recorded the outcome and died before it settled."""
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await world.record(envelope("a"))
        await service.noted(finished=1)
    assert (await world.broker.task("a"))["state"] == "succeeded"
    assert await world.broker.ready_ids() == []
    assert await world.ready() == 0


async def test_a_hash_without_its_place_is_settled_too(world):
    await world.accept(envelope("a"))
    await world.record(envelope("a"))
    await world.broker.lose_lane()
    async with world.service() as service:
        await service.noted(finished=1)
    assert (await world.broker.task("a"))["state"] == "succeeded"


async def test_settled_in_redis_proves_nothing(world):
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await world.broker.settle(settle_unseen("a"))
        await asyncio.sleep(1)
        assert service.count("finished") == 0
        await world.at_rest()
    assert await world.ready() == 1


async def test_while_redis_is_away_nothing_leaves(make_world, private_redis):
    """Ledger, Redis, copy: what is recorded is settled before its copy goes."""
    world = await make_world(redis_url=private_redis.url)
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        private_redis.kill9()
        await world.record(envelope("a"))
        await asyncio.sleep(1)
        assert service.count("finished") == 0
        await private_redis.start()
        await service.noted(finished=1)
        await world.reattach()
        assert (await world.broker.task("a"))["state"] == "succeeded"


async def test_a_copy_waits_until_redis_takes_the_settling(make_world, private_redis):
    """A Redis that reads and does not write (a demoted one): the copy is the last to go."""
    world = await make_world(redis_url=private_redis.url)
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await world.at_rest()
        await world.broker.raw.replicaof("127.0.0.1", 1)
        await world.record(envelope("a"))
        refused = await refusals(world)
        await eventually(lambda: more_refusals(world, refused + 2))
        assert service.count("finished") == 0
    # Given back at the end, so it was still in hand.
    assert await world.ready() == 1
    await world.broker.raw.replicaof("no", "one")
    async with world.service() as service:
        await service.noted(finished=1)
        assert (await world.broker.task("a"))["state"] == "succeeded"
    assert await world.ready() == 0


async def refusals(world):
    """Writes that Redis refused as a replica."""
    found = await world.broker.raw.info("errorstats")
    return found.get("errorstat_READONLY", {"count": 0})["count"]


async def more_refusals(world, n):
    return await refusals(world) >= n


async def test_while_the_ledger_is_away_nothing_leaves_and_nothing_is_restored(
    make_world, mongo_url
):
    world = await make_world(mongo_url=mongo_url)
    parts = urlsplit(mongo_url)
    direct = urlunsplit(parts._replace(query="directConnection=true"))
    await world.accept(*many(3))
    async with (
        Proxy(direct) as proxy,
        world.service(mongo_url=proxy.url, store_timeout_ms=400) as service,
    ):
        await service.noted(present=3)
        proxy.hold_requests()
        await world.finish(envelope("task-0"))
        await world.broker.lose_hash("task-1")
        await world.copy(envelope("new"))
        await asyncio.sleep(2)
        assert (service.count("finished"), service.count("restored")) == (0, 0)
        assert await world.broker.task("task-1") == {}
        proxy.flow()
        await service.noted(finished=1, restored=2)
        await world.at_rest()
    assert await world.ready() == 3


async def test_a_new_generation_is_complete_when_everything_up_to_a_fence_was_looked_at(world):
    await world.accept(*many(10))
    assert await world.pending()
    async with world.service() as service:
        await world.at_rest()
        assert service.count("present") == 10
        await world.broker.lose_everything()
        await service.noted(restored=10)
        await world.at_rest()
    assert await world.ready() == 10


async def test_what_was_learnt_of_an_earlier_generation_is_void(world):
    """Rule 1: held copies count as looked at again only when they were, whatever the pace."""
    await world.accept(*many(10))
    async with world.service(pace=replace(FAST, sweep_s=60)) as service:
        await service.noted(present=10)
        await world.at_rest()
        await world.broker.lose_everything()
        await world.at_rest()
        assert service.count("restored") == 10
    assert len(await world.broker.ready_ids()) == 10


async def test_a_generation_stays_pending_while_a_copy_could_not_be_judged(world):
    async with world.service() as service:
        await world.at_rest()
        with world.locked_ledger():
            await world.broker.lose_everything()
            await world.copy(envelope("a"))
            await asyncio.sleep(2)
            assert await world.pending()
        await service.noted(restored=1)
        await world.at_rest()


async def test_a_window_smaller_than_the_queue_grows_until_the_fence(make_world):
    world = await make_world(rehydrator_window=100)
    await world.accept(*many(450))
    await world.broker.lose_everything()
    async with world.service() as service:
        await service.noted(restored=450)
        await world.at_rest()
    assert await world.ready() == 450


async def test_fences_of_others_are_let_go(world):
    await world.mark()
    await world.accept(envelope("a"))
    async with world.service() as service:
        await service.noted(present=1)
        await world.at_rest()
    assert await world.ready() == 1


async def test_a_lost_connection_is_followed_by_a_new_look(world, proxy):
    await world.accept(*many(20))
    async with world.service(rabbitmq_url=proxy.url) as service:
        await service.noted(present=20)
        proxy.cut()
        await service.noted(present=40)
        await world.finish(envelope("task-0"))
        await service.noted(finished=1)
    await eventually(lambda: world.is_ready(19))


async def test_an_operator_who_closes_the_connection_is_left_alone(world, force_close):
    await world.accept(*many(5))
    async with world.service(pace=replace(FAST, operator_away_s=8)) as service:
        await service.noted(present=5)
        await force_close(f"rehydrator-{QUEUE}")
        await eventually(lambda: world.is_ready(5))
        await asyncio.sleep(1)
        assert await world.ready() == 5
        await service.noted(present=10)


async def test_the_service_hands_over_to_who_wants_its_lease_and_takes_it_back(world):
    await world.accept(*many(8))
    async with world.service() as service:
        await service.noted(present=8)
        lease = Lease(world.ledger, queue_lease(QUEUE), 60_000)
        assert not await lease.acquire()
        await lease.want()
        await eventually(lease.acquire)
        assert await world.ready() == 8
        async with lease.kept(yields=False):
            await asyncio.sleep(2)
            assert await world.ready() == 8
        await service.noted(present=16)


async def test_a_second_service_waits_and_takes_over_from_one_that_dies(world):
    await world.accept(*many(8))
    async with world.service() as first:
        await first.noted(present=8)
        async with world.service() as second:
            await asyncio.sleep(1)
            assert second.count("present") == 0
            await cancel(first.task)
            await second.noted(present=8)


async def test_whoever_lost_its_lease_gives_back_what_it_held(world):
    await world.accept(*many(8))
    async with world.service() as service:
        await service.noted(present=8)
        await world.at_rest()
        lease = service.service._lease
        await world.ledger.release_lease(lease.name, lease.owner)
        assert await world.ledger.acquire_lease(lease.name, "somebody else", 60_000)
        await eventually(lambda: world.is_ready(8))
        await world.ledger.release_lease(lease.name, "somebody else")
        await service.noted(present=16)


async def test_two_consumers_at_once_harm_nothing(world):
    """The lease only saves work: whoever holds a copy judges it rightly."""
    await world.accept(*many(20))
    other = await CopySource.open(world.rabbitmq_url, QUEUE, prefetch=10)
    await eventually(lambda: other.held == 10)
    async with world.service() as service:
        await service.noted(present=10)
        await world.broker.lose_everything()
        await other.hand_back()
        await service.noted(restored=20)
    assert len(await world.broker.ready_ids()) == 20


async def test_a_missing_queue_is_declared(world):
    async with world.service() as service:
        await world.at_rest()
        async with open_channel(world.connection) as channel:
            await channel.queue_delete(mirror_queue(QUEUE))
        await world.broker.submit(envelope("a"))
        await eventually(world.mirrored)
        await service.noted(present=1)
