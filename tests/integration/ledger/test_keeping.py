"""What else must outlive Redis, the same on both ledgers: queues, leases, runs, the quarantine."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.errors import QueueLimitReached
from app.ledger.mongo import MongoLedger
from app.ledger.paging import Place
from app.ledger.records import (
    ActionRecord,
    LeaseView,
    Marks,
    QuarantineRecord,
    QueueRecord,
    RehydrationRecord,
    StreamMark,
)
from tests.integration.ledger.material import AT_MS, finish, key, keys, opening, part
from tests.support.eventually import eventually

LONG_MS = 600_000
SHORT_MS = 50
DAY_MS = 86_400_000


async def test_queues_exist_once(ledger):
    assert await ledger.queues() == []
    for tenant, queue in [("b", "x"), ("a", "y"), ("a", "x"), ("a", "y")]:
        await ledger.ensure_queue(tenant, queue, 10)
    assert await ledger.queues() == [
        QueueRecord("a", "x", paused=False),
        QueueRecord("a", "y", paused=False),
        QueueRecord("b", "x", paused=False),
    ]


async def test_the_limit_is_a_tenants_own(ledger):
    await ledger.ensure_queue("a", "x", 2)
    await ledger.ensure_queue("a", "y", 2)
    with pytest.raises(QueueLimitReached, match="Tenant a already has 2 queues"):
        await ledger.ensure_queue("a", "z", 2)
    await ledger.ensure_queue("a", "x", 2)
    await ledger.ensure_queue("a", "y", 1)
    await ledger.ensure_queue("b", "z", 2)
    await ledger.ensure_queue("a", "z", 3)


async def test_concurrent_queues_stop_at_the_limit(make):
    ledgers = [make() for _ in range(3)]
    for each in ledgers:
        await each.open()
    answers = await asyncio.gather(
        *(ledgers[n % 3].ensure_queue("a", f"q{n // 2}", 5) for n in range(24)),
        return_exceptions=True,
    )
    assert len(await ledgers[0].queues()) == 5
    assert {type(answer) for answer in answers} == {type(None), QueueLimitReached}
    # Each queue was asked for twice: both askers are told the same.
    assert [type(a) for a in answers[::2]].count(type(None)) == 5
    assert [type(a) for a in answers[::2]] == [type(a) for a in answers[1::2]]


async def paused_queues(ledger):
    return [(each.tenant, each.queue) for each in await ledger.queues() if each.paused]


async def test_a_pause_is_one_queues_and_lasts_until_it_is_lifted(make, ledger):
    for tenant, queue in [("a", "x"), ("a", "y"), ("b", "x")]:
        await ledger.ensure_queue(tenant, queue, 10)
    for _ in range(2):
        assert await ledger.set_paused("a", "x", paused=True)
        assert await paused_queues(ledger) == [("a", "x")]
    await ledger.ensure_queue("a", "x", 10)
    other = make()
    await other.open()
    assert await paused_queues(other) == [("a", "x")]
    for _ in range(2):
        assert await other.set_paused("a", "x", paused=False)
        assert await paused_queues(ledger) == []


async def test_a_pause_makes_no_queue(ledger):
    await ledger.ensure_queue("a", "x", 10)
    for tenant, queue in [("a", "y"), ("b", "x")]:
        assert not await ledger.set_paused(tenant, queue, paused=True)
    assert await ledger.queues() == [QueueRecord("a", "x", paused=False)]


async def test_a_lease_is_held_by_one(ledger):
    assert await ledger.acquire_lease("mail", "me", LONG_MS)
    assert not await ledger.acquire_lease("mail", "you", LONG_MS)
    assert await ledger.acquire_lease("mail", "me", LONG_MS)
    assert await ledger.acquire_lease("sms", "you", LONG_MS)
    assert await ledger.renew_lease("mail", "me", LONG_MS) == LeaseView(True, None)
    assert await ledger.renew_lease("mail", "you", LONG_MS) == LeaseView(False, None)
    assert await ledger.renew_lease("nobodys", "me", LONG_MS) == LeaseView(False, None)


async def test_one_of_many_gets_a_lease(make):
    ledgers = [make() for _ in range(3)]
    for each in ledgers:
        await each.open()
    for name in ("fresh", "expired"):
        if name == "expired":
            assert await ledgers[0].acquire_lease(name, "old", 0)
        answers = await asyncio.gather(
            *(ledgers[n % 3].acquire_lease(name, f"owner-{n}", LONG_MS) for n in range(12))
        )
        assert answers.count(True) == 1
        view = await ledgers[0].renew_lease(name, f"owner-{answers.index(True)}", LONG_MS)
        assert view.held


async def test_an_expired_lease_is_free_and_its_owner_learns_it(ledger):
    assert await ledger.acquire_lease("mail", "me", SHORT_MS)
    await eventually(lambda: ledger.acquire_lease("mail", "you", LONG_MS))
    assert await ledger.renew_lease("mail", "me", LONG_MS) == LeaseView(False, None)
    assert not await ledger.acquire_lease("mail", "me", LONG_MS)


async def test_a_refused_wish_does_not_shorten_the_lease(ledger):
    assert await ledger.acquire_lease("mail", "me", LONG_MS)
    assert not await ledger.acquire_lease("mail", "you", 0)
    assert not await ledger.acquire_lease("mail", "you", LONG_MS)


async def test_renewing_keeps_a_lease_that_nobody_took(ledger):
    assert await ledger.acquire_lease("mail", "me", 0)
    assert (await ledger.renew_lease("mail", "me", LONG_MS)).held
    assert not await ledger.acquire_lease("mail", "you", LONG_MS)


async def test_the_holder_learns_who_wants_its_lease(ledger):
    await ledger.request_lease("mail", "you")
    assert await ledger.acquire_lease("mail", "me", LONG_MS)
    assert await ledger.renew_lease("mail", "me", LONG_MS) == LeaseView(True, None)
    await ledger.request_lease("mail", "you")
    assert not await ledger.acquire_lease("mail", "you", LONG_MS)
    assert await ledger.renew_lease("mail", "me", LONG_MS) == LeaseView(True, "you")
    await ledger.release_lease("mail", "me")
    assert await ledger.acquire_lease("mail", "you", LONG_MS)
    assert await ledger.renew_lease("mail", "you", LONG_MS) == LeaseView(True, None)


async def test_a_wish_ends_when_the_lease_is_taken_over(ledger):
    assert await ledger.acquire_lease("mail", "me", 0)
    await ledger.request_lease("mail", "you")
    assert await ledger.acquire_lease("mail", "you", LONG_MS)
    assert await ledger.renew_lease("mail", "you", LONG_MS) == LeaseView(True, None)


async def test_only_the_owner_gives_a_lease_back(ledger):
    assert await ledger.acquire_lease("mail", "me", LONG_MS)
    await ledger.release_lease("mail", "you")
    assert not await ledger.acquire_lease("mail", "you", LONG_MS)
    await ledger.release_lease("mail", "me")
    await ledger.release_lease("mail", "me")
    assert await ledger.acquire_lease("mail", "you", LONG_MS)


async def test_owners_are_only_text(ledger):
    assert await ledger.acquire_lease("$owner", "$owner", LONG_MS)
    assert not await ledger.acquire_lease("$owner", "$until", LONG_MS)
    assert (await ledger.renew_lease("$owner", "$owner", LONG_MS)).held


async def test_a_wrong_clock_takes_nobodys_lease(mongo_url, monkeypatch):
    # Leases in MongoDB follow its own clock; those who share an SQLite file share a clock.
    ledger = MongoLedger(mongo_url, env="test", record_days=1, timeout_ms=10_000)
    assert await ledger.acquire_lease("mail", "me", LONG_MS)
    ahead = time.time_ns() + 86_400 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: ahead)
    monkeypatch.setattr(time, "time", lambda: ahead / 10**9)
    assert not await ledger.acquire_lease("mail", "you", LONG_MS)
    assert await ledger.acquire_lease("sms", "me", SHORT_MS)
    await eventually(lambda: ledger.acquire_lease("sms", "you", LONG_MS))
    await ledger.close()


async def test_rehydrations_are_replaced_by_id_and_listed_newest_first(ledger):
    runs = [RehydrationRecord(f"r{n}", "running", AT_MS + n) for n in (2, 1, 3)]
    for run in runs:
        await ledger.put_rehydration(run)
    done = RehydrationRecord(
        "r2",
        "complete",
        AT_MS + 2,
        finished_at_ms=AT_MS + 9,
        dry_run=True,
        queue="mail",
        tenant="acme",
        counts={"restored": 3, "present": 1},
    )
    await ledger.put_rehydration(done)
    assert await ledger.rehydrations(10) == [runs[2], done, runs[1]]
    assert await ledger.rehydrations(1) == [runs[2]]


async def test_rehydrations_of_one_moment_are_told_apart_by_their_ids(ledger):
    runs = [RehydrationRecord(f"r{n}", "complete", AT_MS + n // 2) for n in (3, 0, 4, 2, 1)]
    for run in runs:
        await ledger.put_rehydration(run)
    expected = ["r4", "r3", "r2", "r1", "r0"]
    assert [each.id for each in await ledger.rehydrations(10)] == expected
    for run in runs:
        behind = await ledger.rehydrations(10, after=Place(run.started_at_ms, run.id))
        assert [each.id for each in behind] == expected[expected.index(run.id) + 1 :]


def rehydration(name="r1", state="requested", **more):
    return RehydrationRecord(name, state, AT_MS, **more)


async def test_one_rehydration_is_shown_as_it_was_asked_for(ledger):
    asked = rehydration(since_ms=5, task_ids=["a", "b"], rate=2.5, problems=["No."])
    await ledger.put_rehydration(asked)
    assert await ledger.get_rehydration("r1") == asked
    assert await ledger.get_rehydration("r2") is None


async def test_a_rehydration_is_taken_by_one(make):
    ledgers = [make() for _ in range(2)]
    for each in ledgers:
        await each.open()
    await ledgers[0].put_rehydration(rehydration())
    takers = [rehydration(state="running", updated_at_ms=n) for n in range(8)]
    answers = await asyncio.gather(
        *(ledgers[n % 2].replace_rehydration(r, expected="requested") for n, r in enumerate(takers))
    )
    assert answers.count(True) == 1
    assert await ledgers[0].get_rehydration("r1") == takers[answers.index(True)]


async def test_no_rehydration_comes_to_be_by_being_replaced(ledger):
    assert not await ledger.replace_rehydration(rehydration(), expected="requested")
    assert await ledger.rehydrations(5) == []


async def test_the_marks_of_a_queue_are_the_latest(ledger):
    earlier = Marks("acme", "mail", "t1", None, {}, AT_MS)
    streams = {"journal": StreamMark("5-1", 7), "ready:high": StreamMark("5-0", 2)}
    later = Marks("acme", "mail", "t2", "4-9", streams, AT_MS + 1, "key_lost", ("journal",))
    other = Marks("acme", "sms", "t3", None, {}, AT_MS)
    for each in (earlier, other, later):
        await ledger.put_marks(each)
    assert await ledger.get_marks("acme", "mail") == later
    assert await ledger.get_marks("acme", "sms") == other
    assert await ledger.get_marks("other", "mail") is None


def action(name="a1", at_ms=AT_MS, **more):
    members = {"who": "ada", "action": "discard", "target": {"all": True}, "count": 2} | more
    return ActionRecord(id=name, at_ms=at_ms, queue="mail", tenant="acme", **members)


async def test_actions_are_listed_newest_first(ledger):
    records = [action(f"a{n}", AT_MS + n // 2) for n in (3, 5, 4, 2)]
    for record in records:
        await ledger.record_action(record)
    assert [each.id for each in await ledger.actions(10)] == ["a5", "a4", "a3", "a2"]
    assert [each.id for each in await ledger.actions(2)] == ["a5", "a4"]


async def test_an_action_is_written_once_and_its_end_replaces_its_beginning(ledger):
    for record in (action(count=0), action(count=0), action(count=7)):
        await ledger.record_action(record)
    assert await ledger.actions(10) == [action(count=7)]


async def test_the_target_of_an_action_is_kept_as_asked(ledger):
    target = {
        "filter": {"$where": "1", "a.b": [1, 2.5, None, True], "": {"nul\x00": "\x00 ✓"}},
        "ids": ["t1", "t2"],
    }
    await ledger.record_action(action(target=target))
    assert await ledger.actions(1) == [action(target=target)]


def quarantined(name, at_ms=AT_MS, **more):
    members = {"headers": {"x-task-id": name}, "body": b"\x00\xff", "reason": "UNREADABLE"} | more
    members = {"queue": "mail", "tenant": "acme"} | members
    return QuarantineRecord(id=name, task_id=name, at_ms=at_ms, **members)


async def test_the_quarantine_keeps_what_came_first(ledger):
    first = quarantined("q1")
    await ledger.put_quarantine(first)
    await ledger.put_quarantine(first)
    await ledger.put_quarantine(quarantined("q1", AT_MS + 5, reason="OTHER", body=b"other"))
    assert await ledger.quarantined(10) == [first]


async def test_the_quarantine_is_listed_newest_first(ledger):
    records = [quarantined(f"q{n}", AT_MS + n) for n in (2, 3, 1)]
    for record in records:
        await ledger.put_quarantine(record)
    assert [each.id for each in await ledger.quarantined(10)] == ["q3", "q2", "q1"]
    assert [each.id for each in await ledger.quarantined(2)] == ["q3", "q2"]


async def test_the_quarantine_goes_on_behind_a_place(ledger):
    for n, name in enumerate(("q1", "q2", "q3", "q4")):
        tenant = "other" if name == "q2" else "acme"
        await ledger.put_quarantine(quarantined(name, AT_MS + n // 2, tenant=tenant))
    found, after = [], None
    while page := await ledger.quarantined(1, tenants=["", "acme"], after=after):
        found += [each.id for each in page]
        after = Place(page[-1].at_ms, page[-1].id)
    assert found == ["q4", "q3", "q1"]


async def test_concurrent_writes_of_one_copy_are_one_record(ledger):
    await asyncio.gather(*(ledger.put_quarantine(quarantined("q1")) for _ in range(20)))
    assert len(await ledger.quarantined(10)) == 1


async def test_a_strangers_headers_and_body_are_kept(ledger):
    headers = {"$set": "a", "a.b": "$c", "": "empty", "nul\x00": "\x00", "ü": "✓"}
    record = quarantined("odd", headers=headers, body=bytes(range(256)))
    await ledger.put_quarantine(record)
    assert await ledger.quarantined(1) == [record]


async def test_one_quarantined_copy_is_shown(ledger):
    await ledger.put_quarantine(quarantined("q1"))
    assert await ledger.get_quarantined("q1") == quarantined("q1")
    assert await ledger.get_quarantined("q2") is None


async def test_the_quarantine_of_a_tenant(ledger):
    for n, tenant in enumerate(["acme", "other", "acme"]):
        await ledger.put_quarantine(quarantined(f"q{n}", AT_MS + n, tenant=tenant))
    for tenant, names in {"acme": ["q2", "q0"], "other": ["q1"], "nobody": [], "": []}.items():
        found = await ledger.quarantined(10, tenants=[tenant])
        assert [each.id for each in found] == names
    assert len(await ledger.quarantined(10)) == await ledger.count_quarantined() == 3


async def test_what_a_person_resolved_is_listed_no_more_and_kept(ledger):
    for name in ("q1", "q2"):
        await ledger.put_quarantine(quarantined(name))
    assert await ledger.resolve_quarantined("q1", "requeued", "ada", AT_MS + 1)
    assert [each.id for each in await ledger.quarantined(10)] == ["q2"]
    assert await ledger.count_quarantined() == 1
    resolved = replace(
        quarantined("q1"), resolution="requeued", resolved_by="ada", resolved_at_ms=AT_MS + 1
    )
    assert await ledger.get_quarantined("q1") == resolved
    # Whoever finds the copy once more writes it again: it stays resolved.
    await ledger.put_quarantine(quarantined("q1"))
    assert await ledger.get_quarantined("q1") == resolved


async def test_the_first_resolution_stays_and_its_repeat_is_in_force(ledger):
    await ledger.put_quarantine(quarantined("q1"))
    assert await ledger.resolve_quarantined("q1", "discarded", "ada", AT_MS + 1)
    assert await ledger.resolve_quarantined("q1", "discarded", "bob", AT_MS + 2)
    assert not await ledger.resolve_quarantined("q1", "requeued", "bob", AT_MS + 3)
    record = await ledger.get_quarantined("q1")
    assert (record.resolution, record.resolved_by, record.resolved_at_ms) == (
        "discarded",
        "ada",
        AT_MS + 1,
    )


async def test_what_became_of_many_is_told_at_once(ledger):
    for name in ("q1", "q2", "q3"):
        await ledger.put_quarantine(quarantined(name))
    await ledger.resolve_quarantined("q2", "requeued", "ada", AT_MS)
    assert await ledger.resolutions(["q1", "q2", "nobodys"]) == {"q1": None, "q2": "requeued"}
    assert await ledger.resolutions([]) == {}


async def test_the_quarantine_is_counted_by_queue(ledger):
    assert await ledger.quarantine_counts() == {}
    for n, (tenant, queue) in enumerate([("a", "x"), ("a", "x"), ("a", "y"), ("b", "x")]):
        await ledger.put_quarantine(quarantined(f"q{n}", tenant=tenant, queue=queue))
    await ledger.resolve_quarantined("q3", "discarded", "ada", AT_MS)
    assert await ledger.quarantine_counts() == {("a", "x"): 2, ("a", "y"): 1}


async def test_nothing_that_is_not_there_is_resolved(ledger):
    assert not await ledger.resolve_quarantined("q1", "discarded", "ada", AT_MS)
    assert await ledger.get_quarantined("q1") is None
    assert await ledger.count_quarantined() == 0


async def test_one_of_two_contrary_resolutions_is_in_force(make):
    ledgers = [make() for _ in range(2)]
    for each in ledgers:
        await each.open()
    for n in range(10):
        await ledgers[0].put_quarantine(quarantined(f"q{n}"))
        answers = await asyncio.gather(
            *(
                ledgers[i % 2].resolve_quarantined(f"q{n}", resolution, "ada", AT_MS)
                for i, resolution in enumerate(["requeued", "discarded"] * 3)
            )
        )
        assert answers in ([True, False] * 3, [False, True] * 3)


async def expiries(ledger):
    """When MongoDB's own monitor removes each record; it runs once a minute."""
    documents = await ledger._records.find({}, {"expireAt": 1}).to_list(None)
    return {d["_id"].split("/")[2]: d["expireAt"].replace(tzinfo=UTC) for d in documents}


@pytest.fixture
async def kept(make):
    """Names of the records that are still there a moment before and after ``days``."""
    ledger = make(record_days=30)
    await ledger.open()

    async def kept(at_ms):
        if type(ledger).__name__ == "SqliteLedger":
            await ledger.expire(at_ms)
            return set((await ledger.ask([key(n) for n in names])).keys())
        moment = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
        return {key(n) for n, expiry in (await expiries(ledger)).items() if expiry > moment}

    names = ["succeeded", "cancelled", "expired", "discarded", "dead", "suspended", "open", "again"]
    await ledger.finish([finish(key(state), state=state) for state in names[:6]])
    await ledger.finish([finish(key("again"), state="cancelled")])
    await ledger.record_open([opening(key("open")), opening(key("again"), of=part(run=2))])
    return kept, ledger


async def test_only_terminal_records_expire_and_not_before_their_days(kept):
    kept, _ = kept
    days = 30 * DAY_MS
    assert len(await kept(AT_MS + days - 1)) == 8
    left = {"dead", "suspended", "open", "again"}
    assert await kept(AT_MS + days + 1) == {key(name) for name in left}
    assert await kept(AT_MS + 100 * 365 * DAY_MS) == {key(name) for name in left}


async def test_a_record_expires_once_its_later_run_is_over(kept):
    kept, ledger = kept
    later = AT_MS + 5 * DAY_MS
    await ledger.finish([finish(key("again"), run=2, at_ms=later)])
    await ledger.finish([finish(key("dead"), run=2, state="discarded", at_ms=later)])
    left = await kept(AT_MS + 31 * DAY_MS)
    assert {key("again"), key("dead")} <= left
    left = await kept(later + 31 * DAY_MS)
    assert not {key("again"), key("dead")} & left


async def test_an_open_part_of_a_later_run_keeps_the_record_of_an_earlier(kept):
    kept, ledger = kept
    await ledger.record_open([opening(key("x"), of=part(run=3))])
    await ledger.finish([finish(key("x"), run=2, state="cancelled")])
    left = await kept(AT_MS + 100 * 365 * DAY_MS)
    if type(ledger).__name__ == "SqliteLedger":
        left = set(await ledger.ask([key("x")]))
    assert key("x") in left


async def test_mongodb_is_told_to_expire(make, kind):
    ledger = make()
    await ledger.open()
    if kind == "mongo":
        indexes = await ledger._records.index_information()
        assert indexes["expireAt_1"]["expireAfterSeconds"] == 0
        assert await ledger.expire(AT_MS) == 0
    else:
        await ledger.finish([finish(task) for task in keys(3)])
        assert await ledger.expire(AT_MS + 30 * DAY_MS + 1) == 3
        assert await ledger.ask(keys(3)) == {}
