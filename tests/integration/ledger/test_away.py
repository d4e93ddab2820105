"""A ledger that is away: one error, in time, and nothing acknowledged is ever missing."""

import asyncio
import signal
from collections import Counter
from contextlib import asynccontextmanager, suppress

import pytest
from pymongo.errors import PyMongoError

from app.errors import SettingsError, Unavailable
from app.ledger.mongo import MongoLedger
from app.ledger.records import ActionRecord, Marks, QuarantineRecord, RecordQuery, RehydrationRecord
from app.ledger.sqlite import SqliteLedger
from tests.integration.ledger.conftest import program
from tests.integration.ledger.material import AT_MS, attempt, finish, key, keys, opening
from tests.support.eventually import eventually

DEADLINE_MS = 700
HANG_S = 40
FAR_MS = 60_000

CALLS = {
    "open": lambda ledger: ledger.open(),
    "ping": lambda ledger: ledger.ping(),
    "finish": lambda ledger: ledger.finish([finish()]),
    "record_open": lambda ledger: ledger.record_open([opening()]),
    "ask": lambda ledger: ledger.ask([key()]),
    "get": lambda ledger: ledger.get(key()),
    "search": lambda ledger: ledger.search(RecordQuery("acme")),
    "note_redriven": lambda ledger: ledger.note_redriven([(key(), 2)]),
    "finished_ids": lambda ledger: ledger.finished_ids("acme", "mail"),
    "ensure_queue": lambda ledger: ledger.ensure_queue("acme", "mail", 10),
    "queues": lambda ledger: ledger.queues(),
    "set_paused": lambda ledger: ledger.set_paused("acme", "mail", paused=True),
    "parked_counts": lambda ledger: ledger.parked_counts("acme", "mail"),
    "acquire_lease": lambda ledger: ledger.acquire_lease("mail", "me", 1_000),
    "renew_lease": lambda ledger: ledger.renew_lease("mail", "me", 1_000),
    "request_lease": lambda ledger: ledger.request_lease("mail", "me"),
    "release_lease": lambda ledger: ledger.release_lease("mail", "me"),
    "put_rehydration": lambda ledger: ledger.put_rehydration(RehydrationRecord("r", "x", AT_MS)),
    "replace_rehydration": lambda ledger: ledger.replace_rehydration(
        RehydrationRecord("r", "x", AT_MS), expected="y"
    ),
    "get_rehydration": lambda ledger: ledger.get_rehydration("r"),
    "put_marks": lambda ledger: ledger.put_marks(Marks("acme", "mail", "t", None, {}, AT_MS)),
    "get_marks": lambda ledger: ledger.get_marks("acme", "mail"),
    "rehydrations": lambda ledger: ledger.rehydrations(5),
    "record_action": lambda ledger: ledger.record_action(
        ActionRecord("a", AT_MS, "ada", "discard", "mail", "acme", {}, 0)
    ),
    "actions": lambda ledger: ledger.actions(5),
    "put_quarantine": lambda ledger: ledger.put_quarantine(
        QuarantineRecord("q", "r", "mail", "acme", "t", {}, b"", AT_MS)
    ),
    "quarantined": lambda ledger: ledger.quarantined(5),
    "get_quarantined": lambda ledger: ledger.get_quarantined("q"),
    "resolve_quarantined": lambda ledger: ledger.resolve_quarantined("q", "discarded", "me", AT_MS),
    "count_quarantined": lambda ledger: ledger.count_quarantined(),
    "resolutions": lambda ledger: ledger.resolutions(["q"]),
    "quarantine_counts": lambda ledger: ledger.quarantine_counts(),
}


async def outcomes(ledger):
    """Every call at once: what each came to."""
    async with asyncio.timeout(HANG_S):
        answers = await asyncio.gather(
            *(call(ledger) for call in CALLS.values()), return_exceptions=True
        )
    return dict(zip(CALLS, answers, strict=True))


async def all_unavailable(ledger):
    answers = await outcomes(ledger)
    assert {name: type(answer) for name, answer in answers.items()} == dict.fromkeys(
        CALLS, Unavailable
    )
    assert {answer.store for answer in answers.values()} == {"ledger"}
    assert all(answer.detail for answer in answers.values())


async def opens(ledger):
    with suppress(Unavailable):
        await ledger.open()
        return True


async def works(ledger):
    return not any(isinstance(answer, Exception) for answer in (await outcomes(ledger)).values())


@asynccontextmanager
async def mongo_ledger(url, timeout_ms=DEADLINE_MS):
    ledger = MongoLedger(url, env="test", record_days=30, timeout_ms=timeout_ms)
    try:
        yield ledger
    finally:
        await ledger.close()


@asynccontextmanager
async def sqlite_ledger(path, timeout_ms=DEADLINE_MS):
    ledger = SqliteLedger(path, env="test", record_days=30, timeout_ms=timeout_ms)
    try:
        yield ledger
    finally:
        await ledger.close()


async def test_a_mongod_that_never_was(unused_url):
    async with mongo_ledger(unused_url) as ledger:
        await all_unavailable(ledger)


@pytest.fixture
def unused_url(private_mongo):
    private_mongo.kill9()
    return private_mongo.database_url("test")


async def test_a_mongod_that_is_paused_then_killed_then_back(private_mongo):
    async with mongo_ledger(private_mongo.database_url("test")) as ledger:
        await eventually(lambda: works(ledger))
        private_mongo.process.pause()
        await all_unavailable(ledger)
        private_mongo.process.resume()
        await eventually(lambda: works(ledger), within_s=60)
        private_mongo.kill9()
        await all_unavailable(ledger)
        await private_mongo.start()
        await eventually(lambda: works(ledger), within_s=60)


LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


async def test_an_sqlite_file_somebody_else_has_locked(sqlite_path):
    async with sqlite_ledger(sqlite_path) as ledger:
        await eventually(lambda: opens(ledger))
        with program(LOCK, sqlite_path) as holder:
            assert holder.stdout.readline() == "locked\n"
            await all_unavailable(ledger)
        await eventually(lambda: works(ledger))


async def test_an_sqlite_file_that_is_locked_before_it_is_opened(sqlite_path):
    async with sqlite_ledger(sqlite_path, 10_000) as first:
        await first.open()
    async with sqlite_ledger(sqlite_path) as ledger:
        with program(LOCK, sqlite_path) as holder:
            assert holder.stdout.readline() == "locked\n"
            await all_unavailable(ledger)
        await eventually(lambda: works(ledger))


async def test_an_sqlite_path_that_is_none(tmp_path):
    (tmp_path / "text").write_text("no database at all, but longer than its header" * 99)
    for path in (tmp_path, tmp_path / "text", tmp_path / "text" / "below"):
        async with sqlite_ledger(path) as ledger:
            await all_unavailable(ledger)


async def test_a_failed_commit_does_not_end_the_ledger(sqlite_path):
    async with sqlite_ledger(sqlite_path, 10_000) as ledger:
        await ledger.open()
        pages = await ledger._run(
            lambda db: db.execute("PRAGMA page_count").fetchone()["page_count"]
        )
        full = f"PRAGMA max_page_count = {pages}"
        await ledger._run(lambda db: db.execute(full).fetchone())
        with pytest.raises(Unavailable, match="full"):
            await ledger.finish([finish(each) for each in keys(500)])
        await ledger._run(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
        assert await ledger.ask(keys(500)) == {}
        assert all(answer.won for answer in await ledger.finish([finish(e) for e in keys(500)]))


async def test_a_closed_ledger_is_away(make):
    ledger = make()
    await ledger.open()
    await ledger.close()
    with pytest.raises(Unavailable):
        await ledger.ask([key()])


@pytest.mark.parametrize("url", ["mongodb://", "mongodb://h:x/d", "http://h/d"])
def test_a_url_that_is_none_is_a_wrong_setting(url):
    with pytest.raises(SettingsError, match="LIFEBOAT_MONGO_URL"):
        MongoLedger(url, env="test", record_days=1, timeout_ms=1_000)


async def test_calls_given_up_half_way_leave_the_ledger_usable(ledger):
    tasks = keys(60)
    for turns in range(6):
        calls = [asyncio.create_task(ledger.finish([finish(task, by="me")])) for task in tasks]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() or call.result()[0].won for call in calls)
    # What was given up may have happened; a repeat with the same nonce is in force either way.
    for (answer,) in await asyncio.gather(*(ledger.finish([finish(t, by="me")]) for t in tasks)):
        assert answer.won
    assert len(await ledger.ask(tasks)) == len(tasks)


async def stream(ledger, acknowledged, worker):
    """Finish task after task; the ids that were acknowledged."""
    n = 0
    while True:
        n += 1
        task = key(f"w{worker}-{n}")
        try:
            answers = await ledger.finish([finish(task, by=f"by-{n}")])
        except Unavailable:
            return
        assert answers[0].won
        acknowledged.append(task)


async def test_mongod_killed_in_a_stream_of_outcomes_keeps_every_acknowledged_one(private_mongo):
    acknowledged = []
    for kill in range(2):
        async with mongo_ledger(private_mongo.database_url("test"), 5_000) as ledger:
            await ledger.open()
            before = len(acknowledged)
            streams = [
                asyncio.create_task(stream(ledger, acknowledged, f"{kill}-{n}")) for n in range(8)
            ]
            await eventually(lambda: len(acknowledged) >= before + 200, within_s=60)  # noqa: B023
            private_mongo.kill9()
            await asyncio.gather(*streams)
        await private_mongo.start()
    async with mongo_ledger(private_mongo.database_url("test"), 10_000) as ledger:
        await ledger.open()
        recorded = await ledger.ask(acknowledged)
        assert len(acknowledged) >= 400
        assert [task for task in acknowledged if task not in recorded] == []
        assert all(standing.is_finished(1) for standing in recorded.values())


async def until_acknowledged(ledger, write):
    """Repeat a write until somebody says what became of it."""
    while True:
        try:
            (answer,) = await ledger.finish([write])
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return answer


async def test_a_server_that_does_not_answer_is_told_in_words(unused_tcp_port):
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", unused_tcp_port)
    async with silent, mongo_ledger(f"mongodb://127.0.0.1:{unused_tcp_port}/test", 300) as ledger:
        with pytest.raises(Unavailable, match="no answer in time"):
            await ledger.ping()


async def test_a_mongod_that_refuses_connections_is_not_waited_for(private_mongo):
    acknowledged = []
    async with mongo_ledger(private_mongo.database_url("test"), FAR_MS) as ledger:
        await ledger.open()
        streams = [asyncio.create_task(stream(ledger, acknowledged, n)) for n in range(4)]
        await eventually(lambda: len(acknowledged) >= 40)
        private_mongo.kill9()
        async with asyncio.timeout(HANG_S):
            # Also those that were under way.
            await asyncio.gather(*streams)
            for call in (ledger.ask([key()]), ledger.ping()):
                with pytest.raises(Unavailable, match=f"127.0.0.1:{private_mongo.port}: refused"):
                    await call
        await private_mongo.start()
        await eventually(lambda: works(ledger), within_s=60)


@pytest.mark.parametrize("fault", ["step down", "restart", "pause"])
async def test_a_write_repeated_after_no_answer_is_in_force_and_counted_once(private_mongo, fault):
    writes = [finish(task, attempt=attempt()) for task in keys(400)]
    done = []
    async with mongo_ledger(private_mongo.database_url("test"), 1_500) as ledger:
        await eventually(lambda: opens(ledger))
        turn = asyncio.Semaphore(16)

        async def write_one(write):
            async with turn:
                done.append(await until_acknowledged(ledger, write))

        running = asyncio.gather(*(write_one(write) for write in writes))
        await eventually(lambda: len(done) >= 50, within_s=60)
        if fault == "step down":
            with suppress(PyMongoError):
                await ledger._client.admin.command("replSetStepDown", 1, force=True)
        elif fault == "restart":
            await private_mongo.restart()
        else:
            private_mongo.process.pause()
            with suppress(TimeoutError):
                # Long enough for every call in flight to be given up.
                await asyncio.wait_for(asyncio.shield(running), 2.5)
            private_mongo.process.resume()
        assert len(done) < len(writes)
        async with asyncio.timeout(60):
            await running
        assert all(answer.won for answer in done)
        for write in writes[:: len(writes) // 40]:
            assert (await ledger.get(write.key)).attempts == (write.attempt,)


WRITER = """
import asyncio, sys
from pathlib import Path
from app.ledger.sqlite import SqliteLedger
from tests.integration.ledger.material import finish, key

async def main(path, name, shared):
    ledger = SqliteLedger(Path(path), env="test", record_days=30, timeout_ms=20_000)
    await ledger.open()
    for n in range(int(shared) or 10**9):
        task = key(f"shared-{n}" if int(shared) else f"{name}-{n}")
        (answer,) = await ledger.finish([finish(task, by=f"{name}-{n}")])
        print(task.task_id, int(answer.won), flush=True)
    await ledger.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_an_sqlite_writer_killed_keeps_every_acknowledged_outcome(sqlite_path):
    acknowledged = []
    with program(WRITER, sqlite_path, "w", 0) as writer:
        while len(acknowledged) < 150:
            acknowledged.append(writer.stdout.readline().split()[0])
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line.split()[0] for line in writer.stdout if line.endswith("\n")]
    async with sqlite_ledger(sqlite_path, 10_000) as ledger:
        await ledger.open()
        recorded = await ledger.finished_ids("acme", "mail")
    assert set(acknowledged) <= recorded.keys()
    # The one in flight may have happened, no more.
    assert len(recorded) <= len(acknowledged) + 1


async def test_two_processes_on_one_file_have_one_winner_a_task(sqlite_path):
    with (
        program(WRITER, sqlite_path, "a", 60) as first,
        program(WRITER, sqlite_path, "b", 60) as second,
    ):
        answers = [
            line.split()
            for process in (first, second)
            for line in (await asyncio.to_thread(process.stdout.read)).splitlines()
        ]
        assert (first.wait(30), second.wait(30)) == (0, 0)
    assert len(answers) == 120
    wins = Counter(task for task, won in answers if won == "1")
    assert wins == {f"shared-{n}": 1 for n in range(60)}
