"""A process's view of one queue: learnt once, dropped when Redis changed its history (rule 1)."""

import asyncio

import pytest

from app import sessions
from app.broker.connection import RedisConnection
from app.broker.generation import complete
from app.errors import LedgerMismatch, StaleGeneration, Unavailable
from app.ledger.sqlite import SqliteLedger
from app.lifecycle import cancel
from app.names import QueueName
from app.sessions import QueueSession, watch_queues
from tests.support.eventually import eventually

NAME = QueueName("acme", "mail")


class CountingRedis:
    """The connection it stands before, counting the scripts that ran."""

    def __init__(self, redis):
        self._redis = redis
        self.ran = []

    async def script(self, name, keys, arguments):
        self.ran.append(name)
        return await self._redis.script(name, keys, arguments)


@pytest.fixture
async def redis(redis_url):
    connection = RedisConnection(redis_url, connect_timeout_ms=2_000, timeout_ms=5_000)
    yield connection
    await connection.close()


@pytest.fixture
async def ledger_at(tmp_path):
    opened = []

    async def ledger_at(name):
        opened.append(SqliteLedger(tmp_path / name, env="test", record_days=30, timeout_ms=10_000))
        await opened[-1].open()
        return opened[-1]

    yield ledger_at
    for each in opened:
        await each.close()


@pytest.fixture
async def ledger(ledger_at):
    return await ledger_at("ledger.sqlite")


@pytest.fixture
def make(redis, ledger, env_name):
    def make(name=NAME, *, by=redis, of=ledger, adopt=False):
        return QueueSession(by, of, env_name, name, adopt=adopt)

    return make


@pytest.fixture
def wipe(redis, make):
    """Redis loses everything it knows of the queue."""

    async def wipe():
        await redis.redis.delete(make().keys.generation)

    return wipe


async def pause(ledger, queue="mail", paused=1):
    await ledger.ensure_queue("acme", queue, 10)
    await ledger._run(
        lambda db: db.execute("UPDATE queues SET paused = ? WHERE queue = ?", (paused, queue))
    )


async def test_many_askers_attach_once(redis, make):
    counting = CountingRedis(redis)
    session = make(by=counting)
    tokens = await asyncio.gather(*(session.token() for _ in range(50)))
    assert len(set(tokens)) == 1
    assert counting.ran.count("attach") == 1
    assert await session.token() == tokens[0]
    assert counting.ran.count("attach") == 1


async def test_all_processes_see_the_same_generation(make):
    tokens = await asyncio.gather(*(make().token() for _ in range(10)))
    assert len(set(tokens)) == 1


async def test_queues_have_generations_of_their_own(make):
    other = make(QueueName("acme", "sms"))
    assert await make().token() != await other.token()


async def test_what_was_learnt_is_kept_until_it_is_forgotten(make, wipe):
    session = make()
    first = await session.token()
    await wipe()
    assert await session.token() == first
    session.forget()
    second = await session.token()
    assert second != first
    assert await make().token() == second


async def test_a_forgotten_history_that_is_still_in_force_is_learnt_again(make):
    session = make()
    first = await session.generation()
    session.forget()
    assert await session.generation() == first


async def test_an_old_token_is_refused(redis, make, wipe):
    session = make()
    old = await session.token()
    await wipe()
    session.forget()
    await session.token()
    with pytest.raises(StaleGeneration):
        await complete(redis, session.keys, old)


async def test_redis_remembers_the_ledger(ledger, make):
    assert (await make().generation()).ledger == ledger.identity


async def test_another_ledger_stops_the_process(ledger_at, make):
    await make().token()
    stranger = make(of=await ledger_at("other.sqlite"))
    with pytest.raises(LedgerMismatch, match="another ledger"):
        await stranger.token()
    with pytest.raises(LedgerMismatch):
        await stranger.token()


async def test_another_ledger_may_be_adopted(ledger_at, make):
    await make().token()
    other = await ledger_at("other.sqlite")
    adopting = make(of=other, adopt=True)
    assert (await adopting.generation()).ledger == other.identity
    assert (await make(of=other).generation()).ledger == other.identity
    with pytest.raises(LedgerMismatch):
        await make().token()


async def test_a_queue_the_ledger_does_not_know_is_not_paused(make):
    assert (await make().generation()).paused is False


@pytest.mark.parametrize("paused", [False, True])
async def test_the_pause_flag_is_loaded_from_the_ledger(ledger, make, paused):
    await pause(ledger, paused=int(paused))
    for other in ("a", "sms"):
        await pause(ledger, other, paused=int(not paused))
    assert (await make().generation()).paused is paused
    assert (await make().generation()).paused is paused


async def test_a_flag_that_is_in_redis_already_wins(redis, ledger, make):
    session = make()
    await session.token()
    await redis.redis.hset(session.keys.generation, "paused", "1")
    session.forget()
    assert (await session.generation()).paused is True
    assert (await make().generation()).paused is True


async def test_a_new_generation_loads_the_flag_anew(ledger, make, wipe):
    session = make()
    assert (await session.generation()).paused is False
    await pause(ledger)
    await wipe()
    session.forget()
    assert (await session.generation()).paused is True


async def test_without_a_ledger_the_flag_is_not_known(ledger, make, tmp_path):
    away = SqliteLedger(tmp_path, env="test", record_days=30, timeout_ms=1_000)
    session = make(of=away)
    generation = await session.generation()
    assert (generation.paused, generation.ledger) == (None, "")
    # Whoever has the ledger brings flag and identity for all.
    assert (await make().generation()).paused is False
    session.forget()
    again = await session.generation()
    assert (again.paused, again.ledger) == (False, ledger.identity)
    assert again.token == generation.token
    await away.close()


async def test_a_new_generation_is_pending_until_all_copies_were_looked_at(redis, make):
    session = make()
    assert (await session.generation()).pending
    await complete(redis, session.keys, await session.token())
    session.forget()
    assert not (await session.generation()).pending


async def test_a_restarted_redis_is_another_generation(private_redis, ledger, env_name):
    redis = RedisConnection(private_redis.url, connect_timeout_ms=500, timeout_ms=2_000)
    session = QueueSession(redis, ledger, env_name, NAME, adopt=False)
    old = await session.token()
    await private_redis.restart()

    async def refused():
        with pytest.raises(Unavailable) as caught:
            await complete(redis, session.keys, old)
        return isinstance(caught.value, StaleGeneration)

    await eventually(refused, within_s=30)
    session.forget()
    assert await session.token() != old
    await redis.close()


async def test_a_redis_that_is_away_is_asked_again(private_redis, ledger, env_name):
    redis = RedisConnection(private_redis.url, connect_timeout_ms=500, timeout_ms=2_000)
    session = QueueSession(redis, ledger, env_name, NAME, adopt=False)
    private_redis.kill9()
    with pytest.raises(Unavailable):
        await session.token()
    await private_redis.start()

    async def token():
        try:
            return await session.token()
        except Unavailable:
            return None

    assert await eventually(token, within_s=30)
    await redis.close()


async def test_an_asker_that_leaves_does_not_keep_the_others_waiting(make):
    session = make()
    askers = [asyncio.create_task(session.token()) for _ in range(5)]
    await asyncio.sleep(0)
    await cancel(askers[0], askers[3])
    async with asyncio.timeout(10):
        tokens = [await askers[n] for n in (1, 2, 4)]
    assert len(set(tokens)) == 1


@pytest.fixture
async def watched(ledger, monkeypatch):
    """Starts a watch; the list of what it found."""
    monkeypatch.setattr(sessions, "WATCH_EVERY_S", 0.01)
    tasks = []

    def watched(of=ledger, **limits):
        found = []

        async def note(name):
            found.append(name)

        tasks.append(asyncio.create_task(watch_queues(of, note, **limits)))
        return found

    yield watched
    await cancel(*tasks)


async def test_queues_are_found_once_and_new_ones_later(ledger, watched):
    await ledger.ensure_queue("acme", "mail", 10)
    found = watched()
    await eventually(lambda: found == [NAME])
    await ledger.ensure_queue("other", "mail", 10)
    await ledger.ensure_queue("acme", "sms", 10)
    await eventually(lambda: len(found) >= 3)
    calls = SeenLedger(ledger)
    again = watched(of=calls)
    await eventually(lambda: calls.asked >= 5)
    assert sorted(found) == sorted(again)
    assert sorted(again) == [NAME, QueueName("acme", "sms"), QueueName("other", "mail")]


class SeenLedger:
    """A ledger that may be away; counts how often it was asked for queues."""

    def __init__(self, ledger):
        self._ledger = ledger
        self.asked = 0
        self.away = False

    async def queues(self):
        self.asked += 1
        if self.away:
            raise Unavailable("ledger", "away")
        return await self._ledger.queues()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"queue": "mail"}, {("acme", "mail"), ("other", "mail")}),
        ({"tenant": "acme"}, {("acme", "mail"), ("acme", "sms")}),
        ({"queue": "mail", "tenant": "acme"}, {("acme", "mail")}),
    ],
)
async def test_a_watch_may_be_limited(ledger, watched, limits, expected):
    for tenant, queue in [("acme", "mail"), ("acme", "sms"), ("other", "mail")]:
        await ledger.ensure_queue(tenant, queue, 10)
    calls = SeenLedger(ledger)
    found = watched(of=calls, **limits)
    await eventually(lambda: calls.asked >= 3)
    assert {(name.tenant, name.queue) for name in found} == expected
    assert len(found) == len(expected)


async def test_a_ledger_that_is_away_only_delays(ledger, watched):
    calls = SeenLedger(ledger)
    calls.away = True
    found = watched(of=calls)
    await ledger.ensure_queue("acme", "mail", 10)
    await eventually(lambda: calls.asked >= 3)
    assert found == []
    calls.away = False
    await eventually(lambda: found == [NAME])
