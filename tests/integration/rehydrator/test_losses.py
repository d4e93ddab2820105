"""Losses of Redis: each is told as what it is, healed without a person, or only told."""

import asyncio
import logging
import shutil

import pytest
from redis.asyncio import Redis

from app.errors import TaskNotFound, Unavailable
from app.ledger.records import Marks
from app.stack.servers import RedisServer
from app.task_queue.task_queue import TaskQueue
from rehydrator.command import rehydrate
from rehydrator.loss import TAIL_MS
from rehydrator.run import RunRequest
from tests.conftest import started
from tests.integration.rehydrator.world import many
from tests.support.broker import FAR_MS
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually
from tests.support.proxy import Proxy

DETECTED_S = 60


@pytest.fixture
async def private_world(make_world, private_redis):
    return await make_world(redis_url=private_redis.url)


@pytest.fixture
def replica(tmp_path):
    server = started(RedisServer, tmp_path / "replica")
    yield server
    server.kill9()


async def marks(world):
    return await world.ledger.get_marks(TENANT, QUEUE)


async def noted(world):
    """Wait until the ledger has what Redis has now."""
    journal = world.broker.keys.journal

    async def same():
        found = await marks(world)
        info = await world.broker.raw.xinfo_stream(journal)
        mark = found.streams.get("journal") if found and found.token == world.broker.token else None
        return mark and mark.last_id == info["last-generated-id"].decode() and not found.loss

    await eventually(same, 60)


def losses(service):
    """{kind: how often it was told}."""
    return {
        sample.labels["kind"]: sample.value
        for family in service.metrics.redis_losses.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def told(service, kind):
    await eventually(lambda: losses(service).get(kind), DETECTED_S)
    assert losses(service) == {kind: 1}


async def redis_is_later(world):
    """Wait until Redis's clock has moved on by more than a tail."""
    seconds, _ = await world.broker.raw.time()

    async def later():
        now, _ = await world.broker.raw.time()
        return now > seconds + TAIL_MS // 1_000 + 1

    await eventually(later)


async def test_a_restart_with_its_data_is_no_loss(private_world, private_redis, caplog):
    world = private_world
    await world.accept(*many(10))
    async with world.service() as service:
        await service.noted(present=10)
        await noted(world)
        await world.at_rest()
        since = await world.broker.raw.hget(world.broker.keys.generation, "since")
        await private_redis.stop()
        await private_redis.start()
        await world.reattach()
        await noted(world)
        await world.at_rest()
        assert losses(service) == {}
        assert service.count("restored") == 0
        assert await world.broker.raw.hget(world.broker.keys.generation, "since") == since
    assert "has lost" not in caplog.text


async def test_a_wipe_is_told_and_healed(private_world, private_redis, caplog):
    world = private_world
    await world.accept(*many(20))
    await world.record(envelope("task-0"))
    async with world.service() as service:
        await service.noted(present=19, finished=1)
        await noted(world)
        private_redis.wipe()
        await private_redis.start()
        await told(service, "wiped")
        await service.noted(restored=19)
        await world.reattach()
        await eventually(lambda: is_healed(world))
    assert "task-0" not in await world.broker.ready_ids()
    assert f"Redis has lost everything of {TENANT}/{QUEUE}." in caplog.text


async def test_a_wipe_while_no_rehydrator_ran_is_told_at_its_start(world):
    await world.accept(*many(5))
    async with world.service():
        await noted(world)
    await world.broker.lose_everything()
    await world.broker.submit(*many(5, first=100))
    async with world.service() as service:
        await told(service, "wiped")
        await service.noted(restored=5)


async def test_a_lost_journal_is_journaled_again_and_nothing_else(world):
    """What has its copy needs no other one; what was on its way would have got none."""
    await world.accept(*many(3))
    waiting = [*many(4, first=10), envelope("later", notBefore=FAR_MS)]
    async with world.service() as service:
        await service.noted(present=3)
        await world.broker.submit(*waiting)
        await noted(world)
        await world.broker.raw.delete(world.broker.keys.journal)
        await told(service, "key_lost")
        await eventually(lambda: has_journaled(world, 5))
        entries, _ = await world.broker.journal.read(world.broker.token, None, 100)
        assert {each.task_id for each in entries} == {each.task_id for each in waiting}
        await world.mirror()
        await service.noted(present=3 + 3 + 5)
        await world.at_rest()
        await noted(world)
    assert service.count("restored") == 0
    assert await world.ready() == 8


async def has_journaled(world, n):
    return len(await world.broker.journal_ids()) == n


async def test_journaling_again_goes_on_where_it_was_cut_short(world):
    """The process that found the loss died before it had journaled anything."""
    await world.broker.submit(envelope("a"))
    await world.broker.raw.delete(world.broker.keys.journal)
    await world.broker.raw.hset(world.broker.keys.generation, "pending", 1)
    found = Marks(TENANT, QUEUE, world.broker.token, None, {}, 1, "key_lost", ("journal",))
    await world.ledger.put_marks(found)
    async with world.service() as service:
        await eventually(lambda: has_journaled(world, 1))
        await eventually(lambda: is_healed(world))
    assert losses(service) == {}


async def is_healed(world):
    return (await marks(world)).loss is None and not await world.pending()


@pytest.mark.parametrize("lane", [1, 2, 3])
async def test_a_lost_ready_stream_is_told_and_healed(world, lane):
    priority = ("high", "normal", "low")[lane - 1]
    await world.accept(*many(5, priority=priority), envelope("later", notBefore=FAR_MS))
    async with world.service() as service:
        await service.noted(present=6)
        await noted(world)
        await world.broker.lose_lane(lane)
        await told(service, "key_lost")
        await service.noted(restored=5)
        await eventually(lambda: is_healed(world))
    assert len(await world.broker.ready_ids()) == 5


async def test_a_ready_stream_lost_and_begun_anew_between_two_looks(world):
    await world.accept(*many(5))
    async with world.service() as service:
        await service.noted(present=5)
        await noted(world)
        await world.broker.raw.eval(
            "redis.call('DEL', KEYS[1]) redis.call('XADD', KEYS[1], '*', 'id', 'x', 'run', '1',"
            " 'gen', ARGV[1], 'fresh', '0', 'envelope', 'x')",
            1,
            world.broker.keys.lanes[1],
            world.broker.token,
        )
        await told(service, "key_lost")
        await service.noted(restored=5)


@pytest.mark.parametrize("key", ["delayed", "task", "generation", "mirror"])
async def test_every_other_lost_key_is_told_and_healed(world, key):
    tasks = [*many(4), envelope("later", notBefore=FAR_MS)]
    await world.accept(*tasks)
    keys = world.broker.keys
    name = keys.task("task-2") if key == "task" else getattr(keys, key)
    async with world.service() as service:
        await service.noted(present=5)
        await noted(world)
        await world.broker.raw.delete(name)
        await told(service, "key_lost")
        await eventually(lambda: is_healed(world))
        await world.broker.attach()
        found = await world.broker.recovery.inspect(
            world.broker.token, [each.task_id for each in tasks]
        )
        assert {each.standing for each in found} == {"present"}


def may_run_unasked(world, entry):
    """Rule 7, as far as the entry itself tells."""
    return entry.fresh and entry.generation == world.broker.token


async def set_back(private_redis, older):
    """Redis comes back with a copy of its data that was made before."""
    private_redis.kill9()
    shutil.rmtree(private_redis.data)
    shutil.copytree(older, private_redis.data)
    await private_redis.start()


async def test_an_older_copy_of_the_data_is_told_and_healed(
    private_world, private_redis, tmp_path, caplog
):
    world = private_world
    await world.accept(*many(5))
    async with world.service() as service:
        await service.noted(present=5)
        await world.at_rest()
        shutil.copytree(private_redis.data, tmp_path / "older")
        await redis_is_later(world)
        await world.accept(*many(5, first=5))
        await world.finish(envelope("task-0"))
        await service.noted(finished=1)
        await noted(world)
        await set_back(private_redis, tmp_path / "older")
        await told(service, "rolled_back")
        await service.noted(restored=5)
        await world.reattach()
        await eventually(lambda: is_healed(world))
        # Open again here, with no copy: whoever fetches it must ask the ledger first (rule 7).
        entries = await world.broker.fetch(count=20)
        assert {each.task_id for each in entries} == {each.task_id for each in many(10)}
        assert not any(may_run_unasked(world, each) for each in entries)
    assert "was set back by" in caplog.text


async def test_a_lost_tail_is_told_and_healed(private_world, private_redis, tmp_path):
    """What the append-only file did not have yet."""
    world = private_world
    await world.accept(*many(5))
    async with world.service() as service:
        await service.noted(present=5)
        await world.at_rest()
        await world.accept(envelope("last"))
        shutil.copytree(private_redis.data, tmp_path / "older")
        await world.accept(*many(2, first=5))
        await noted(world)
        await set_back(private_redis, tmp_path / "older")
        await told(service, "tail_lost")
        await service.noted(restored=2)


async def test_a_promoted_replica_that_was_behind_is_told_and_healed(
    make_world, private_redis, replica
):
    async with Proxy(private_redis.url) as address, Redis.from_url(replica.url) as promoted:
        world = await make_world(redis_url=address.url)
        await world.accept(*many(5))
        async with world.service() as service:
            await service.noted(present=5)
            await world.at_rest()
            await promoted.execute_command("REPLICAOF", "127.0.0.1", private_redis.port)
            await eventually(lambda: promoted.exists(world.broker.keys.generation))
            # Cut off: it looks for a master where there is none, and serves what it has.
            await promoted.execute_command("REPLICAOF", "127.0.0.1", 1)
            await redis_is_later(world)
            await world.accept(*many(5, first=5))
            await world.finish(envelope("task-1"))
            await service.noted(finished=1)
            await noted(world)
            private_redis.kill9()
            await promoted.execute_command("REPLICAOF", "NO", "ONE")
            address.lead_to(replica.url)
            await told(service, "rolled_back")
            await service.noted(restored=5)
            await world.reattach()
            await eventually(lambda: is_healed(world))
            entries = await world.broker.fetch(count=20)
            # The replica had it open; nobody runs it on that word alone (rule 7).
            assert {each.task_id for each in entries} == {each.task_id for each in many(10)}
            assert not any(may_run_unasked(world, each) for each in entries)
        assert service.count("finished") == 1


async def test_while_a_loss_is_being_healed_nobody_says_that_a_task_is_unknown(world, proxy):
    """Also within a generation: pending is set again."""
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.accept(*many(5))
    tasks = TaskQueue(world.settings, world.redis, world.ledger)
    await tasks.try_open()
    async with world.service(rabbitmq_url=proxy.url) as service:
        await service.noted(present=5)
        await noted(world)
        await world.at_rest()
        with pytest.raises(TaskNotFound):
            await tasks.get("nobodys", QUEUE)
        proxy.hold_requests()
        await world.broker.lose_lane()
        await told(service, "key_lost")
        for task_id in ("nobodys", "task-1"):
            with pytest.raises(Unavailable, match="brought back"):
                await tasks.get(task_id, QUEUE)
        proxy.flow()
        await eventually(lambda: is_healed(world), 60)
        assert (await tasks.get("task-1", QUEUE))["state"] == "queued"
        with pytest.raises(TaskNotFound):
            await tasks.get("nobodys", QUEUE)
    await tasks.close()


async def test_alert_only_tells(make_world, caplog):
    world = await make_world(loss_policy="alert")
    await world.accept(*many(5))
    async with world.service() as service:
        await service.noted(present=5)
        await noted(world)
        await world.broker.lose_everything()
        await told(service, "wiped")
        await asyncio.sleep(1)
        assert service.count("restored") == 0
        assert await world.pending()
        assert (await marks(world)).loss == "wiped"
    assert f"somebody runs `lifeboat rehydrate --queue {QUEUE}`" in caplog.text
    # The next one knows it too.
    async with world.service() as service:
        await asyncio.sleep(1)
        assert (service.count("restored"), losses(service)) == (0, {})


async def test_what_alert_held_back_comes_with_the_command(make_world):
    world = await make_world(loss_policy="alert")
    await world.ledger.ensure_queue(TENANT, QUEUE, 10)
    await world.accept(*many(5))
    async with world.service() as service:
        await service.noted(present=5)
        await noted(world)
        await world.broker.lose_everything()
        await told(service, "wiped")
        report = await rehydrate(world.settings, RunRequest(), lambda _: None)
        assert (report.state, report.restored) == ("complete", 5)
        await eventually(lambda: is_healed(world))
        # From here on it serves as before.
        await world.copy(envelope("new"))
        await service.noted(restored=1)


@pytest.fixture(autouse=True)
def log_level(caplog):
    caplog.set_level(logging.INFO)
