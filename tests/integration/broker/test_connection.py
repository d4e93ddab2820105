"""The connection: deadlines, our errors, a fast no, and never a call that is made twice."""

import asyncio

import pytest

from app.broker.connection import AWAY_FOR_MS, RedisConnection
from app.broker.journal import Sightings
from app.broker.watermark import Watermarks
from app.clock import monotonic_ms
from app.errors import StaleGeneration, Unavailable
from app.settings import Settings
from app.stack.process import free_port
from tests.support.broker import Broker, answering, connect
from tests.support.envelopes import envelope
from tests.support.eventually import eventually
from tests.support.proxy import Proxy


@pytest.fixture
async def proxy(redis_url):
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def through_proxy(proxy):
    """A connection whose answers can be lost, and which waits for them only briefly."""
    connection = connect(proxy.url, timeout_ms=1_000)
    await connection.ping()
    yield connection
    await connection.close()


async def test_from_settings(redis_url):
    connection = RedisConnection.from_settings(Settings(redis_url=redis_url, _env_file=None))
    await connection.ping()
    assert (await connection.version()).count(".") == 2
    await connection.close()


async def test_a_redis_that_is_away_is_said_to_be_at_once():
    connection = connect(f"redis://127.0.0.1:{free_port()}/0", timeout_ms=60_000)
    began = monotonic_ms()
    for _ in range(20):
        with pytest.raises(Unavailable, match="redis"):
            await connection.ping()
    # Twenty connect attempts in a row would take their deadlines' sum.
    assert monotonic_ms() - began < 30_000
    await connection.close()


async def test_while_it_is_known_to_be_away_no_connection_is_tried(proxy):
    connection = connect(proxy.url, timeout_ms=300)
    proxy.hold_answers()
    with pytest.raises(Unavailable):
        await connection.ping()
    opened = proxy.opened
    for _ in range(10):
        with pytest.raises(Unavailable):
            await connection.ping()
    assert proxy.opened == opened
    proxy.flow()
    await answering(connection)
    await connection.close()


async def test_a_redis_known_to_be_away_that_is_there_and_silent_holds_up_no_call(proxy):
    connection = connect(proxy.url, timeout_ms=60_000, connect_timeout_ms=100)
    await connection.ping()
    proxy.hold_answers()
    # The one that finds out waits for its own deadline, or loses its connection.
    first = asyncio.create_task(connection.ping())
    await asyncio.sleep(0)
    proxy.cut()
    with pytest.raises(Unavailable):
        await first
    opened = proxy.opened
    async with asyncio.timeout(30):
        while proxy.opened < opened + 3:
            with pytest.raises(Unavailable):
                await asyncio.gather(*(connection.version() for _ in range(5)))
            await asyncio.sleep(0)
    proxy.flow()
    await answering(connection)
    await connection.close()


async def test_it_is_used_again_as_soon_as_it_is_back(private_redis):
    connection = connect(private_redis.url)
    await connection.ping()
    private_redis.kill9()
    with pytest.raises(Unavailable):
        await connection.ping()
    await private_redis.start()
    await answering(connection)
    await connection.close()


@pytest.fixture
async def behind(redis, through_proxy, env_name):
    """The same queue seen by two: directly, and by one whose answers can be lost."""
    broker = Broker(redis, env_name)
    far = Broker(through_proxy, env_name)
    far.token = await broker.attach()
    # The server knows the scripts, so that the held answer is that of the call itself.
    await broker.submit(envelope("warm"))
    await broker.journal.hold(broker.token, "m1", 60_000, Sightings())
    return broker, far


async def returned(broker):
    """How often a call that counts was made."""
    return await broker.raw.hget(broker.keys.mirror, "returned")


async def test_a_lost_reply_is_unknown_and_the_call_was_made_once(proxy, behind):
    broker, far = behind
    proxy.hold_answers()
    with pytest.raises(Unavailable):
        await far.journal.hold(far.token, "m1", 60_000, Sightings(returned=1))
    assert await returned(broker) == b"1"
    proxy.cut()
    proxy.flow()
    await answering(far.redis)
    assert await returned(broker) == b"1"


async def test_a_connection_cut_in_the_middle_of_a_call_makes_it_once(proxy, behind):
    broker, far = behind
    proxy.hold_answers()
    call = asyncio.create_task(far.journal.hold(far.token, "m1", 60_000, Sightings(returned=1)))
    await eventually(lambda: returned(broker))
    proxy.cut()
    proxy.flow()
    with pytest.raises(Unavailable):
        await call
    await answering(far.redis)
    assert await returned(broker) == b"1"


async def test_a_repeated_submit_after_a_lost_reply_is_a_duplicate(proxy, behind):
    broker, far = behind
    proxy.hold_answers()
    with pytest.raises(Unavailable):
        await far.submit(envelope())
    proxy.flow()
    await answering(far.redis)
    (answer,) = await far.submit(envelope())
    assert answer.outcome == "duplicate"
    assert await broker.ready_ids() == ["warm", "a"]
    assert len(await broker.journal_ids()) == 2


async def test_a_late_answer_is_not_taken_for_the_next_calls(proxy, through_proxy, env_name):
    await through_proxy.redis.set(f"{env_name}-late", "late")
    proxy.hold_answers()
    with pytest.raises(Unavailable):
        await through_proxy.version()
    proxy.flow()
    await answering(through_proxy)
    for _ in range(5):
        assert await through_proxy.redis.get(f"{env_name}-late") == b"late"


async def test_a_call_given_up_by_its_caller_leaves_no_answer_behind(
    proxy, through_proxy, env_name
):
    await through_proxy.redis.set(f"{env_name}-key", "value")
    proxy.hold_answers()
    call = asyncio.create_task(through_proxy.version())
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    proxy.flow()
    for _ in range(5):
        assert await through_proxy.redis.get(f"{env_name}-key") == b"value"


async def test_a_server_that_forgot_the_scripts_is_told_them_again(private_redis, env_name):
    connection = connect(private_redis.url)
    broker = Broker(connection, env_name)
    await broker.attach()
    await broker.submit(envelope("a"))
    await connection.redis.script_flush()
    (answer,) = await broker.submit(envelope("b"))
    assert answer.outcome == "created"
    assert await broker.ready_ids() == ["a", "b"]
    await connection.close()


async def test_a_full_redis_is_unavailable_and_changes_nothing(private_redis, env_name):
    connection = connect(private_redis.url)
    broker = Broker(connection, env_name)
    await broker.attach()
    await broker.submit(envelope("a"))
    before = await broker.snapshot()
    await connection.redis.config_set("maxmemory", 1)
    with pytest.raises(Unavailable, match="maxmemory"):
        await broker.submit(envelope("b"))
    assert await broker.snapshot() == before
    await connection.redis.config_set("maxmemory", 0)
    (answer,) = await broker.submit(envelope("b"))
    assert answer.outcome == "created"
    await connection.close()


async def test_a_replica_is_unavailable_and_refuses_the_masters_token(
    private_redis, redis_server, env_name
):
    connection = connect(private_redis.url)
    broker = Broker(connection, env_name)
    await broker.attach()
    await connection.redis.replicaof("127.0.0.1", free_port())
    with pytest.raises(Unavailable, match=r"READONLY|read only"):
        await broker.submit(envelope())
    await connection.redis.replicaof("NO", "ONE")
    (answer,) = await broker.submit(envelope())
    assert answer.outcome == "created"
    await connection.close()


async def test_a_refusal_does_not_make_it_count_as_away(private_redis, env_name):
    connection = connect(private_redis.url)
    broker = Broker(connection, env_name)
    await broker.attach()
    with pytest.raises(StaleGeneration):
        await broker.intake.look("other", ["a"])
    await connection.ping()
    await connection.close()


def test_the_time_it_counts_as_away_leaves_room_for_the_promised_second():
    assert AWAY_FOR_MS < 1_000


async def test_a_cancellation_is_never_swallowed(redis_url):
    """Whenever it comes, also together with the end of a send (Python 3.11's wait_for)."""
    connection = connect(redis_url)

    async def work():
        while True:
            await connection.ping()

    await connection.ping()
    for turns in range(60):
        working = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.wait({working}, timeout=20)
        assert working.cancelled()
    await connection.close()


async def test_a_subscription_ends_when_asked_to(redis_url):
    connection = connect(redis_url)
    for turns in range(60):
        following = asyncio.create_task(Watermarks(connection, "e", "t").follow(lambda *_: None))
        for _ in range(turns):
            await asyncio.sleep(0)
        following.cancel()
        await asyncio.wait({following}, timeout=20)
        assert following.done()
    await connection.close()
