"""``reconcile``: each disagreement of the stores is named, and mended by its one repair."""

import asyncio

import pytest

from app.amqp.message import copy_publication
from app.errors import EnvMismatch, RehydrationRunning, UnknownQueue
from app.state import TaskState
from rehydrator.care.findings import Name
from rehydrator.care.reconcile import Waits, reconcile
from rehydrator.command import RUN_LEASE
from rehydrator.lease import Lease
from rehydrator.source import CopySource
from tests.integration.rehydrator.world import many, of_tenant
from tests.support.broker import settle_unseen
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually

SOON = Waits(between_s=0.2, hand_over_s=30, stores_s=30)


async def run(ward, *, told=lambda _: None, waits=SOON, **how):
    settings = ward.settings.model_copy(update=how.pop("settings", {}))
    async with asyncio.timeout(120):
        return await reconcile(settings, told, waits=waits, **how)


def names(found):
    return sorted((each.name, each.task_id, each.run) for each in found.found)


async def is_mended(ward, name, *others, task_id="a", run_=1):
    """It is found, left alone without ``repair``, mended with it, and then not found again."""
    expected = sorted((each, task_id, run_) for each in (name, *others))
    before = await run(ward)
    assert names(before) == expected
    assert not before.complete
    assert names(await run(ward)) == expected
    mended = await run(ward, repair=True)
    assert names(mended) == expected
    assert mended.complete, mended
    assert mended.repaired == frozenset(mended.found)


async def test_stores_that_agree_have_no_findings_and_keep_their_copies(ward):
    await ward.broker.running("running")
    await ward.accept(*many(30))
    await ward.broker.submit(envelope("in-the-journal"))
    looks = []
    found = await run(ward, told=looks.append, repair=True)
    assert found.complete
    assert found.found == ()
    # One look is enough where it finds nothing.
    assert len(looks) == 1
    assert await ward.ready() == 31
    assert len(await ward.broker.journal_ids()) == 1


async def test_a_live_task_without_a_copy_is_journaled_again(ward):
    await ward.accept(envelope("a"))
    await ward.copy_ids()
    await is_mended(ward, Name.LIVE_NOT_MIRRORED)
    assert len(await ward.broker.journal_ids()) == 1
    assert await ward.mirror() == 1
    assert (await run(ward)).complete


async def test_a_copy_without_a_live_task_is_restored(ward):
    await ward.copy(envelope("a"))
    await is_mended(ward, Name.MIRRORED_NOT_LIVE)
    assert await ward.broker.ready_ids() == ["a"]
    assert await ward.ready() == 1
    assert (await run(ward)).complete


async def test_a_copy_of_a_recorded_run_is_retired(ward):
    await ward.copy(envelope("a"))
    await ward.record(envelope("a"))
    await is_mended(ward, Name.TERMINAL_NOT_RETIRED)
    assert await ward.ready() == 0
    assert (await run(ward)).complete


async def test_a_recorded_run_that_redis_has_open_is_settled(ward):
    await ward.broker.submit(envelope("a"))
    await ward.broker.confirm()
    await ward.record(envelope("a"))
    await is_mended(ward, Name.RESULT_WITHOUT_TASK)
    assert await ward.broker.state("a") == "succeeded"
    assert (await run(ward)).complete


async def test_recorded_open_and_copied_it_is_both_and_both_are_mended(ward):
    await ward.accept(envelope("a"))
    await ward.record(envelope("a"))
    found = await run(ward, repair=True)
    # Retiring the copy settles the task, so that the walk finds no more.
    assert [each.name for each in found.found] == [Name.TERMINAL_NOT_RETIRED]
    assert (await run(ward)).complete
    assert await ward.ready() == 0


async def test_a_silent_workers_task_is_given_back_and_its_attempt_recorded(make_ward):
    ward = await make_ward(lease_ms=500)
    entry = await ward.broker.running("a", "silent", fresh=False)
    await ward.mirror()

    async def silent():
        (pending,) = await ward.broker.raw.xpending_range(
            ward.broker.keys.lanes[1], "workers", "-", "+", 1
        )
        return pending["time_since_delivered"] > 500

    await eventually(silent)
    await is_mended(ward, Name.PENDING_NO_OWNER)
    again = await ward.broker.fetch_one("another")
    assert again.entry_id != entry.entry_id
    assert not again.fresh
    record = await ward.ledger.get(ward.name.task("a"))
    assert (record.open.phase, record.open.attempt, record.open.lost) == ("failed", 1, 1)
    assert [each.outcome for each in record.attempts] == ["lost"]
    started = await ward.broker.start(again, "another", asked=True, ledger_attempt=1)
    assert (started.verdict, started.attempt) == ("run", 2)


async def test_a_worker_that_lives_is_left_alone(ward):
    await ward.broker.running("a")
    await ward.mirror()
    assert (await run(ward, repair=True)).complete
    assert await ward.broker.state("a") == TaskState.RUNNING


async def test_of_several_copies_the_latest_stays(ward):
    await ward.broker.submit(envelope("a"))
    (entry,), _ = await ward.broker.journal.read(ward.broker.token, None, 10)
    origin = ward.origin(generation=ward.broker.token, journal_id=entry.journal_id)
    await ward.publish(copy_publication(envelope("a"), origin, 7))
    await ward.mirror()
    await ward.copy(envelope("a"))
    await is_mended(ward, Name.DUPLICATE_COPY)
    assert await ward.ready() == 1
    assert (await run(ward)).complete


async def test_copies_nobody_can_tell_the_latest_of_all_stay(ward):
    await ward.broker.submit(envelope("a"))
    await ward.broker.confirm()
    await ward.copy(envelope("a"))
    await ward.copy(envelope("a"))
    found = await run(ward, repair=True)
    assert names(found) == [(Name.DUPLICATE_COPY, "a", 1)]
    assert found.left == 1
    assert await ward.ready() == 2


async def test_a_message_that_is_not_what_it_says_goes_to_the_quarantine(ward):
    good = copy_publication(envelope("a"), ward.origin(), 7)
    headers = {**good.headers, "x-digest": "00" * 32}
    await ward.publish(good._replace(headers=headers))
    await is_mended(ward, Name.DIGEST_MISMATCH, run_=0)
    assert await ward.ready() == 0
    assert await ward.quarantined() == ({"a": "DIGEST_DIFFERS"}, 1)


async def test_what_redis_settled_and_nobody_recorded_runs_again_as_its_next_run(ward):
    await ward.accept(envelope("a"))
    await ward.broker.settle(settle_unseen("a"))
    await is_mended(ward, Name.SETTLED_NOT_RECORDED)
    assert (await ward.broker.task())["run"] == "2"
    assert await ward.mirror() == 1
    assert (await run(ward)).complete
    await ward.record(envelope("a", run=2))
    await ward.broker.settle(settle_unseen("a", 2))
    assert (await run(ward, repair=True)).complete
    assert await ward.ready() == 0


async def test_another_request_under_a_recorded_id_goes_to_the_quarantine(ward):
    await ward.record(envelope("a"))
    await ward.copy(envelope("a", payload={"to": "somebody else"}))
    await is_mended(ward, Name.ID_CONFLICT)
    assert await ward.quarantined() == ({"a": "ID_CONFLICT"}, 1)


async def test_what_is_in_order_at_the_second_look_is_no_finding(ward):
    await ward.copy(envelope("a"), envelope("b"))
    mending = []

    def told(sentence):
        if "again" in sentence:
            mending.append(asyncio.create_task(ward.broker.restore(envelope("a"))))

    found = await run(ward, told=told, waits=Waits(between_s=2, hand_over_s=30, stores_s=30))
    assert mending
    assert names(found) == [(Name.MIRRORED_NOT_LIVE, "b", 1)]


async def test_what_only_the_second_look_sees_is_not_repaired(ward):
    await ward.copy(envelope("early"))
    coming = []

    def told(sentence):
        if "again" in sentence:
            coming.append(asyncio.create_task(ward.copy(envelope("late"))))

    waits = Waits(between_s=2, hand_over_s=30, stores_s=30)
    found = await run(ward, told=told, waits=waits, repair=True)
    assert coming
    assert names(found) == [(Name.MIRRORED_NOT_LIVE, "early", 1)]
    assert await ward.broker.ready_ids() == ["early"]
    assert await ward.ready() == 2


async def test_beside_a_working_rehydrator_there_is_nothing_to_find(ward):
    async with ward.service() as service:
        await ward.accept(*many(20))
        for each in many(10):
            await ward.record(each)
        await service.noted(finished=1)
        found = await run(ward, waits=Waits(between_s=6, hand_over_s=30, stores_s=30))
        assert found.found == ()
        await service.noted(finished=10)


async def test_producers_and_workers_may_go_on(ward):
    await ward.accept(*many(50))
    stop = asyncio.Event()

    async def go_on():
        n = 0
        while not stop.is_set():
            await ward.accept(envelope(f"new-{n}"))
            await ward.finish(envelope(f"new-{n}"))
            n += 1
        return n

    going = asyncio.create_task(go_on())
    found = await run(ward, repair=True)
    stop.set()
    made = await going
    # Without a rehydrator their copies stay; nothing else is wrong.
    assert {each.name for each in found.found} <= {Name.TERMINAL_NOT_RETIRED}
    assert made > 0
    assert sorted(await ward.broker.ready_ids()) == sorted(f"task-{i}" for i in range(50))


async def test_more_copies_than_a_window_holds(make_ward):
    ward = await make_ward(rehydrator_window=100)
    await ward.accept(*many(350))
    await ward.copy(envelope("gone"))
    found = await run(ward)
    assert names(found) == [(Name.MIRRORED_NOT_LIVE, "gone", 1)]
    await eventually(lambda: ward.is_ready(351))


async def test_other_tenants_of_the_queue_are_compared_too(ward):
    await ward.accept(envelope("a"))
    await ward.copy(of_tenant("other", "x"))
    found = await run(ward, repair=True)
    (finding,) = found.found
    assert (finding.name, finding.tenant, finding.task_id) == (Name.MIRRORED_NOT_LIVE, "other", "x")
    assert found.complete
    assert (await run(ward)).complete


async def test_a_run_under_way_refuses_it(ward):
    lease = Lease(ward.ledger, RUN_LEASE, 60_000)
    assert await lease.acquire()
    async with lease.kept(yields=False):
        with pytest.raises(RehydrationRunning, match="under way"):
            await run(ward)
        code, document, errors = await ward.lifeboat("reconcile")
    assert code == 30
    assert "under way" in errors
    assert list(document) == ["error"]


async def test_who_holds_copies_makes_it_say_so(ward):
    await ward.copy(envelope("a"))
    other = await CopySource.open(ward.rabbitmq_url, QUEUE, prefetch=5)
    await eventually(lambda: other.held == 1)
    found = await run(ward, waits=Waits(between_s=0.1, hand_over_s=1, stores_s=5))
    await other.hand_back()
    assert not found.complete
    assert "Somebody else consumes" in found.problems[0]


async def test_a_foreign_copy_stops_it(ward):
    await ward.copy(envelope("a"), env="other")
    with pytest.raises(EnvMismatch):
        await run(ward)
    await eventually(ward.ready)


async def test_a_queue_that_does_not_exist(ward):
    with pytest.raises(UnknownQueue):
        await run(ward, queue="nowhere")


async def test_the_command_tells_in_one_document(ward):
    await ward.copy(envelope("a"))
    code, document, errors = await ward.lifeboat("reconcile", "--repair", "--queue", QUEUE)
    assert code == 0, errors
    assert document["counts"] == document["repaired"] == {"MIRRORED_NOT_LIVE": 1}
    (finding,) = document["findings"]
    assert (finding["taskId"], finding["tenant"], finding["repaired"]) == ("a", TENANT, True)
    await ward.copy(envelope("b"))
    code, document, _ = await ward.lifeboat("reconcile")
    assert (code, document["left"]) == (20, 1)
