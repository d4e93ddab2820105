"""``remirror``: the quorum queue is gone; every open task gets a copy once more."""

import asyncio

import pytest

from app.broker.survey import PAGE
from app.errors import EnvMismatch, UnknownQueue
from app.lifecycle import cancel
from app.metrics import Metrics
from mirror.mirror import QueueMirror, Servers
from mirror.publisher import open_publisher
from mirror.topology import Topology
from rehydrator.care.remirror import RemirrorReport, remirror
from tests.integration.rehydrator.world import many
from tests.support.broker import FAR_MS
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually
from tests.support.proxy import Proxy


def nobody(_report):
    """Does not care how it goes."""


async def run(ward, told=nobody, **how):
    settings = ward.settings.model_copy(update=how.pop("settings", {}))
    async with asyncio.timeout(120):
        return await remirror(settings, told, **how)


def ids(n, first=0):
    return sorted(f"task-{i}" for i in range(first, first + n))


async def test_nothing_is_open(ward):
    assert await run(ward) == RemirrorReport()
    assert await ward.ready() == 0


async def test_every_open_task_has_a_copy_again(ward):
    await ward.accept(*many(150))
    await ward.accept(envelope("later", notBefore=FAR_MS), envelope("high", priority="high"))
    entry = await ward.broker.fetch_one(count=1, order="123")
    assert (await ward.broker.start(entry)).verdict == "run"
    await ward.finish(envelope("task-7"))
    await ward.delete_queue()
    report = await run(ward)
    assert report == RemirrorReport(seen=151, journaled=151, confirmed=151)
    assert report.complete
    assert sorted(await ward.copy_ids()) == sorted({*ids(150), "later", "high"} - {"task-7"})
    assert set(await ward.marks(*ids(5), "later", "high")) == {True}


async def test_a_mark_that_stands_is_no_lie(ward):
    await ward.accept(*many(20))
    await ward.delete_queue()
    marked_without_copy = []

    async def look(_report):
        marked = (await ward.marks(*ids(20))).count(True)
        # Marks first: copies only become more.
        marked_without_copy.append(max(0, marked - (await ward.ready() or 0)))

    looks = []

    def told(report):
        if report.journaled:
            looks.append(asyncio.create_task(look(report)))

    report = await run(ward, told)
    await asyncio.gather(*looks)
    assert report.confirmed == 20
    assert marked_without_copy
    assert set(marked_without_copy) == {0}


async def test_it_may_be_repeated(ward):
    await ward.accept(*many(10))
    await ward.delete_queue()
    assert (await run(ward)).complete
    second = await run(ward)
    assert second == RemirrorReport(seen=10, journaled=10, confirmed=10)
    assert len(await ward.copy_ids()) == 20


async def test_what_waits_in_the_journal_is_published_and_counted(ward):
    await ward.broker.submit(*many(10))
    await ward.delete_queue()
    report = await run(ward)
    assert report.complete
    assert set(await ward.copy_ids()) == set(ids(10))


async def test_a_living_mirror_does_the_publishing(ward):
    publisher = open_publisher("plain", ward.rabbitmq_url, "mirror")
    topology = Topology(ward.rabbitmq_url, ward.settings.env, None)
    metrics = Metrics()
    servers = Servers(
        ward.settings, ward.redis, ward.ledger, publisher, topology, metrics, "the-mirror"
    )
    mirror = asyncio.create_task(QueueMirror(servers, ward.name).run())
    try:
        await ward.broker.submit(*many(50))

        async def mirrored():
            return all(await ward.marks(*ids(50)))

        await eventually(mirrored)
        await ward.delete_queue()
        report = await run(ward)
        # It counts what it has published once Redis has answered it.
        await eventually(lambda: confirmed_of(metrics) >= 100)
    finally:
        await cancel(mirror)
        await publisher.close()
        await topology.close()
    assert report == RemirrorReport(seen=50, journaled=50, confirmed=50)
    assert set(await ward.copy_ids()) == set(ids(50))


def confirmed_of(metrics):
    labels = {"tenant": TENANT, "queue": QUEUE}
    return metrics.registry.get_sample_value("lifeboat_mirror_confirmed_total", labels)


async def test_producers_and_workers_may_go_on(ward):
    await ward.accept(*many(200))
    await ward.delete_queue()
    stop = asyncio.Event()

    async def go_on():
        n = 0
        while not stop.is_set():
            await ward.broker.submit(envelope(f"new-{n}"))
            await ward.finish(envelope(f"task-{n}"))
            n += 1
            await asyncio.sleep(0)
        return n

    going = asyncio.create_task(go_on())
    report = await run(ward)
    stop.set()
    made = await going
    await run(ward)
    assert report.complete
    expected = {f"new-{i}" for i in range(made)} | {f"task-{i}" for i in range(made, 200)}
    assert expected <= set(await ward.copy_ids())


async def test_an_alarm_of_the_broker_ends_it_partial_and_marks_are_honest(ward):
    await ward.accept(*many(30))
    async with Proxy(ward.rabbitmq_url) as proxy:

        def hold(report):
            if report.journaled:
                proxy.hold_answers()

        await ward.delete_queue()
        report = await run(ward, hold, settings={"rabbitmq_url": proxy.url}, within_s=3)
    assert not report.complete
    assert report.left > 0
    assert "Run this again" in report.problems[0]
    assert (await ward.marks(*ids(30))).count(True) == report.confirmed
    again = await run(ward)
    assert again.complete
    assert set(await ward.copy_ids()) == set(ids(30))


async def test_stopped_half_way_and_run_again_it_completes(ward, monkeypatch):
    monkeypatch.setattr("rehydrator.care.remirror.AHEAD_MAX", 50)
    await ward.accept(*many(400))
    await ward.delete_queue()
    half_way = asyncio.Event()

    def told(report):
        if report.confirmed >= 100:
            half_way.set()

    running = asyncio.create_task(run(ward, told))
    await asyncio.wait_for(half_way.wait(), 60)
    await cancel(running)
    assert 100 <= await ward.ready() < 400
    assert (await run(ward)).complete
    assert set(await ward.copy_ids()) == set(ids(400))


async def test_a_wipe_of_redis_meanwhile_leaves_nothing_to_do(ward):
    await ward.accept(*many(30))
    await ward.delete_queue()
    wiped = []

    def wipe(_report):
        if not wiped:
            wiped.append(asyncio.create_task(ward.broker.lose_everything()))

    report = await run(ward, wipe)
    await wiped[0]
    assert report.complete


async def test_the_journal_never_runs_far_ahead_of_the_confirms(ward, monkeypatch):
    monkeypatch.setattr("rehydrator.care.remirror.AHEAD_MAX", 50)
    await ward.accept(*many(600))
    await ward.delete_queue()
    ahead = []
    report = await run(ward, lambda now: ahead.append(now.journaled - now.confirmed))
    assert report.confirmed == 600
    # A page more than allowed, at the most.
    assert max(ahead) < 50 + PAGE


async def test_another_tenant_or_queue_is_left_alone(ward):
    await ward.ledger.ensure_queue("other", QUEUE, 100)
    await ward.accept(*many(3))
    assert await run(ward, tenant="other") == RemirrorReport()
    assert (await run(ward, tenant=TENANT, queue=QUEUE)).seen == 3
    with pytest.raises(UnknownQueue):
        await run(ward, queue="nowhere")


async def test_another_envs_vhost_stops_it(ward):
    with pytest.raises(EnvMismatch):
        other = ward.settings.sqlite_path.with_name("other.sqlite")
        await run(ward, settings={"env": "another", "sqlite_path": other})


async def test_the_command_tells_in_one_document(ward):
    await ward.accept(*many(5))
    await ward.delete_queue()
    code, document, errors = await ward.lifeboat("remirror", "--queue", QUEUE)
    assert code == 0, errors
    assert document == {
        "state": "complete", "seen": 5, "journaled": 5, "confirmed": 5, "finished": 0, "left": 0,
        "problems": [],
    }  # fmt: skip
    code, document, errors = await ward.lifeboat("remirror", "--queue", "nowhere")
    assert code == 1
    assert "There is no queue nowhere: `lifeboat queue ls`" in errors
    assert document == {"error": errors.splitlines()[-1]}
