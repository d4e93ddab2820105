"""``rehydrate``: everything up to a fence, once, beside everybody else, as often as one likes."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import orjson
import pytest

from app.errors import EnvMismatch, RehydrationRunning, Unavailable, UnknownQueue
from app.ledger.sqlite import SqliteLedger
from app.lifecycle import cancel
from mirror.publisher import PublishOutcome
from mirror.publisher.plain import PlainPublisher
from rehydrator.command import RUN_LEASE, rehydrate
from rehydrator.lease import Lease, queue_lease
from rehydrator.run import Patience, RunRequest
from rehydrator.source import CopySource
from tests.integration.rehydrator.world import many, of_tenant
from tests.support.envelopes import ACCEPTED_AT_MS, QUEUE, TENANT, envelope
from tests.support.eventually import eventually
from tests.support.proxy import Proxy

ROOT = Path(__file__).parents[3]


def nobody(_report):
    """Does not care how it goes."""


async def run(world, told=nobody, *, patience=None, rabbitmq_url=None, **request):
    await world.ledger.ensure_queue(TENANT, QUEUE, 100)
    settings = world.settings
    if rabbitmq_url:
        settings = settings.model_copy(update={"rabbitmq_url": rabbitmq_url})
    async with asyncio.timeout(120):
        return await rehydrate(settings, RunRequest(**request), told, patience=patience)


def counts(report):
    return {name: n for name, n in report.counts().items() if n}


def variables_of(world):
    """The environment of a process of its own."""
    given = world.settings.model_dump(
        include={
            "env", "tenant", "redis_url", "rabbitmq_url", "sqlite_path", "rehydrator_lease_ms",
            "rehydrator_window", "store_timeout_ms",
        }
    )  # fmt: skip
    return {f"LIFEBOAT_{name.upper()}": str(value) for name, value in given.items()}


async def start(world, *arguments):
    """The command in a process of its own."""
    await world.ledger.ensure_queue(TENANT, QUEUE, 100)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rehydrator", *arguments,
        cwd=ROOT, env={**os.environ, **variables_of(world)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def command(world, *arguments):
    """(exit code, stdout, stderr) of the command."""
    process = await start(world, *arguments)
    out, errors = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), errors.decode()


async def test_an_idle_system_ends_and_is_complete(world):
    report = await run(world)
    assert (report.state, report.seen, report.total) == ("complete", 0, 0)
    assert not await world.pending()
    assert await world.ready() == 0


async def test_everything_is_accounted_for_and_a_second_run_restores_nothing(world):
    await world.accept(*many(30))
    for each, state in zip(many(4), ("succeeded", "dead", "cancelled", "expired"), strict=True):
        await world.record(each, state)
    await world.copy(envelope("task-20", payload={"to": "somebody else"}))
    await world.broker.lose_everything()
    await world.broker.submit(envelope("task-10"))
    first = await run(world)
    assert counts(first) == {
        "restored": 25, "present": 1, "finished": 2, "cancelled": 1, "expired": 1,
        "quarantined": 1,
    }  # fmt: skip
    assert (first.state, first.seen, first.total) == ("complete", 31, 31)
    assert not await world.pending()
    second = await run(world)
    assert counts(second) == {"present": 26}
    assert await world.ready() == 26
    records = await world.ledger.rehydrations(10)
    assert [each.state for each in records] == ["complete", "complete"]
    assert records[-1].counts["restored"] == 25
    assert records[-1].finished_at_ms == first.finished_at_ms


async def test_a_window_smaller_than_the_queue_still_completes(make_world):
    world = await make_world(rehydrator_window=100)
    await world.accept(*many(1_000))
    for each in many(50, first=900):
        await world.record(each)
    await world.broker.lose_everything()
    report = await run(world)
    assert report.state == "complete"
    assert counts(report) == {"restored": 950, "finished": 50}
    assert await world.ready() == 950


async def test_failures_with_progress_in_between_are_no_long_one(make_world, monkeypatch):
    world = await make_world(rehydrator_window=100)
    await world.copy(*many(250))
    grow, calls = CopySource.grow, []

    async def fail_now_and_then(source):
        calls.append(source)
        if len(calls) in (1, 3):
            raise Unavailable("rabbitmq", "no answer in time")
        await grow(source)

    monkeypatch.setattr(CopySource, "grow", fail_now_and_then)
    # Longer than a batch takes would be too long for what fails.
    report = await run(world, rate=80, patience=Patience(stores_s=0.8))
    assert (report.state, counts(report)) == ("complete", {"restored": 250})
    assert len(calls) > 3


async def test_a_dry_run_only_tells(world):
    await world.accept(*many(10))
    await world.record(envelope("task-0"))
    await world.mark()
    await world.broker.lose_everything()
    report = await run(world, dry_run=True)
    assert counts(report) == {"restored": 9, "finished": 1}
    assert report.state == "complete"
    assert await world.broker.ready_ids() == []
    assert await world.pending()
    assert await world.ready() == 11
    (record,) = await world.ledger.rehydrations(10)
    assert record.dry_run


@pytest.mark.parametrize(
    ("limits", "restored"),
    [
        ({"tenant": TENANT}, 3),
        ({"task_ids": frozenset({"task-1", "x"})}, 1),
        ({"since_ms": ACCEPTED_AT_MS}, 3),
        ({"since_ms": ACCEPTED_AT_MS + 1}, 0),
    ],
    ids=["tenant", "task ids", "since", "since later"],
)
async def test_limits_leave_the_other_copies_untouched(world, limits, restored):
    await world.copy(*many(3), of_tenant("other", "x", accepted_at_ms=ACCEPTED_AT_MS - 1))
    await world.record(of_tenant("other", "y", accepted_at_ms=ACCEPTED_AT_MS - 1))
    await world.copy(of_tenant("other", "y", accepted_at_ms=ACCEPTED_AT_MS - 1))
    report = await run(world, **limits)
    others = 1 if "task_ids" in limits else 0
    assert counts(report) == ({"restored": restored + others} if restored + others else {})
    assert report.total == report.seen
    assert len(await world.broker.ready_ids()) == restored
    assert await world.pending()
    assert await world.ready() == 5


async def test_restores_come_no_faster_than_told(world):
    await world.copy(*many(20))
    began = asyncio.get_running_loop().time()
    report = await run(world, rate=20)
    assert counts(report) == {"restored": 20}
    assert asyncio.get_running_loop().time() - began > 0.8


async def test_a_rate_does_not_slow_down_what_is_there(world):
    await world.accept(*many(20))
    async with asyncio.timeout(30):
        report = await run(world, rate=0.5)
    assert counts(report) == {"present": 20}


async def test_the_service_hands_over_and_goes_on_afterwards(world):
    await world.accept(*many(20))
    async with world.service() as service:
        await service.noted(present=20)
        await world.at_rest()
        report = await run(world)
        assert counts(report) == {"present": 20}
        await world.finish(envelope("task-0"))
        await service.noted(finished=1)
    assert await world.ready() == 19


async def test_a_dead_holders_lease_runs_out(world):
    await world.copy(envelope("a"))
    assert await Lease(world.ledger, queue_lease(QUEUE), 1_500).acquire()
    assert counts(await run(world)) == {"restored": 1}


async def test_who_does_not_hand_over_makes_the_run_partial(world):
    lease = Lease(world.ledger, queue_lease(QUEUE), 60_000)
    assert await lease.acquire()
    async with lease.kept(yields=False):
        report = await run(world, patience=Patience(hand_over_s=2))
    assert report.state == "partial"
    assert "did not hand over" in report.problems[0]


async def test_copies_that_somebody_else_holds_make_the_run_partial(world):
    await world.copy(*many(5))
    other = await CopySource.open(world.rabbitmq_url, QUEUE, prefetch=5)
    await eventually(lambda: other.held == 5)
    report = await run(world, patience=Patience(hand_over_s=1))
    await other.hand_back()
    assert report.state == "partial"
    assert counts(await run(world)) == {"restored": 5}


async def test_a_second_run_is_refused(world):
    lease = Lease(world.ledger, RUN_LEASE, 60_000)
    assert await lease.acquire()
    async with lease.kept(yields=False):
        with pytest.raises(RehydrationRunning, match="under way"):
            await run(world)
        code, out, errors = await command(world, "--json")
    assert code == 30
    assert "under way" in errors
    assert list(orjson.loads(out)) == ["error"]


async def test_while_redis_stays_away_the_run_ends_partial(make_world, private_redis):
    world = await make_world(redis_url=private_redis.url)
    await world.copy(*many(300))

    def kill(_report):
        private_redis.kill9()

    report = await run(world, kill, patience=Patience(stores_s=2))
    assert report.state == "partial"
    assert "Run this again" in report.problems[0]
    await private_redis.start()
    await world.reattach()
    assert (await run(world)).state == "complete"
    assert len(await world.broker.ready_ids()) == 300


async def test_a_wipe_during_the_run_is_looked_at_anew(world):
    await world.accept(*many(50))
    wiped = []

    def wipe(_report):
        if not wiped:
            wiped.append(asyncio.create_task(world.broker.lose_everything()))

    report = await run(world, wipe)
    assert report.state == "complete"
    await wiped[0]
    # The wipe comes before or after the run's last look: then it is a new loss of its own.
    await run(world)
    assert len(await world.broker.ready_ids()) == 50


async def test_a_lost_connection_is_survived_with_a_new_fence(make_world, rabbitmq_url):
    world = await make_world(rehydrator_window=100)
    await world.accept(*many(600))
    await world.broker.lose_everything()
    async with Proxy(rabbitmq_url) as proxy:
        cut = []

        def cut_once(report):
            if report.seen > 200 and not cut:
                cut.append(report.seen)
                proxy.cut()

        report = await run(world, cut_once, rabbitmq_url=proxy.url)
    assert cut
    assert report.state == "complete"
    assert counts(report) == {"restored": 600}
    await eventually(lambda: world.is_ready(600))
    assert len(await world.broker.ready_ids()) == 600


async def test_producers_and_workers_may_go_on(world):
    await world.accept(*many(100))
    await world.broker.lose_everything()
    stop = asyncio.Event()

    async def produce():
        n = 0
        while not stop.is_set():
            await world.accept(envelope(f"new-{n}"))
            await world.finish(envelope(f"task-{n}"))
            n += 1
        return n

    producing = asyncio.create_task(produce())
    report = await run(world)
    stop.set()
    made = await producing
    assert report.state == "complete"
    await run(world)
    expected = {f"new-{i}" for i in range(made)} | {f"task-{i}" for i in range(made, 100)}
    assert set(await world.broker.ready_ids()) == expected


async def test_killed_half_way_and_run_again_it_completes(world):
    await world.accept(*many(400))
    await world.broker.lose_everything()
    process = await start(world, "--rate", "50", "--json")

    async def half_way():
        return len(await world.broker.ready_ids()) >= 100

    await eventually(half_way, 90)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert len(await world.broker.ready_ids()) < 400
    code, out, errors = await command(world, "--json", "--detailed-exitcode")
    report = orjson.loads(out)
    assert (code, report["state"]) == (10, "complete"), errors
    assert report["restored"] + report["present"] == 400
    assert report["present"] >= 100
    assert len(await world.broker.ready_ids()) == 400
    code, out, _ = await command(world, "--json", "--detailed-exitcode")
    assert (code, orjson.loads(out)["restored"]) == (0, 0)
    assert await world.ready() == 400


async def test_the_report_a_person_sees(world):
    await world.copy(*many(3))
    code, out, _errors = await command(world, "--queue", QUEUE, "--since", "3650d")
    assert code == 0
    assert "restored" in out
    assert "complete" in out


async def test_a_foreign_copy_stops_the_run(world):
    await world.copy(envelope("a"), env="other")
    with pytest.raises(EnvMismatch):
        await run(world)
    (record,) = await world.ledger.rehydrations(10)
    assert record.state == "failed"
    code, _, errors = await command(world, "--json")
    assert code == 1
    assert "copies of env 'other'" in errors
    assert await world.ready() >= 1


async def test_stopping_the_run_gives_everything_back(world):
    await world.copy(*many(50))
    running = asyncio.create_task(run(world, rate=10))

    async def begun():
        return await world.broker.ready_ids()

    await eventually(begun)
    await cancel(running)
    await eventually(world.ready)
    report = await run(world)
    assert report.state == "complete"
    assert report.seen == 50


async def test_that_nothing_is_what_was_asked_for_is_told(world):
    await world.copy(envelope("a"))
    code, out, errors = await command(world, "--task", "b", "--json")
    assert (code, orjson.loads(out)["seen"]) == (0, 0)
    assert "No copy is what --tenant, --since and --task ask for." in errors
    code, out, errors = await command(world, "--task", "a", "--json")
    assert (code, orjson.loads(out)["restored"]) == (0, 1)
    assert "No copy" not in errors


@pytest.mark.parametrize("queue", ["nowhere", "No Queue!", "x" * 64])
async def test_a_queue_that_does_not_exist_is_not_made(world, queue):
    with pytest.raises(UnknownQueue):
        await run(world, queue=queue)
    assert "!" in queue or await world.ready(f"lifeboat.mirror.{queue}") is None
    assert await world.ledger.rehydrations(10) == []


async def test_a_queue_only_rabbitmq_remembers_is_looked_at(world):
    await world.copy(envelope("a"))
    report = await rehydrate(world.settings, RunRequest(queue=QUEUE), nobody)
    assert counts(report) == {"restored": 1}


async def test_a_broker_that_takes_no_fence_ends_the_run_partial(world, monkeypatch):
    async def unanswered(_publisher, batch, _deadline_ms):
        return [PublishOutcome.UNKNOWN] * len(batch)

    await world.copy(*many(3))
    monkeypatch.setattr(PlainPublisher, "publish", unanswered)
    report = await run(world, patience=Patience(stores_s=4))
    assert report.state == "partial"
    assert counts(report) == {"restored": 3}
    assert "no fence" in report.problems[0]


async def test_what_ends_between_the_ledgers_word_and_the_restore_does_not_come_back(
    world, monkeypatch
):
    task = envelope("a")
    await world.accept(task, envelope("b"))
    ask, asked = SqliteLedger.ask, []

    async def ask_then_it_ends(ledger, keys):
        found = await ask(ledger, keys)
        if not asked:
            asked.append(found)
            await world.finish(task)
        return found

    monkeypatch.setattr(SqliteLedger, "ask", ask_then_it_ends)
    report = await run(world)
    assert asked == [{}]
    assert counts(report) == {"present": 2}
    assert await world.broker.ready_ids() == ["b"]
    assert counts(await run(world)) == {"finished": 1, "present": 1}


async def test_a_wipe_between_the_ledgers_word_and_the_restore_voids_it(world, monkeypatch):
    await world.accept(envelope("a"))
    ask, asked = SqliteLedger.ask, []

    async def ask_then_it_ends_and_all_is_lost(ledger, keys):
        found = await ask(ledger, keys)
        asked.append(found)
        if len(asked) == 1:
            await world.record(envelope("a"))
            await world.broker.lose_everything()
        return found

    monkeypatch.setattr(SqliteLedger, "ask", ask_then_it_ends_and_all_is_lost)
    assert counts(await run(world)) == {"finished": 1}
    assert asked[0] == {}
    assert await world.broker.ready_ids() == []


async def test_while_the_ledger_gives_no_answer_nothing_is_restored(world, monkeypatch):
    await world.copy(*many(1_200))
    ask, restored = SqliteLedger.ask, []

    async def fall_silent_then_answer(ledger, keys):
        if len(restored) < 8:
            restored.append(await world.broker.ready_ids())
            raise Unavailable("ledger", "it fell silent")
        return await ask(ledger, keys)

    monkeypatch.setattr(SqliteLedger, "ask", fall_silent_then_answer)
    report = await run(world)
    assert restored == [[]] * 8
    assert (report.state, counts(report)) == ("complete", {"restored": 1_200})
    assert sorted(await world.broker.ready_ids()) == sorted(each.task_id for each in many(1_200))
