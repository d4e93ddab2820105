"""A ledger of three members whose primary goes: what is acknowledged stays, no call fails."""

import asyncio

import pytest
from pymongo import MongoClient

from app.errors import Unavailable
from app.ledger.mongo import MongoLedger
from app.ledger.server import read_ledger_server
from app.settings import Settings
from app.stack.mongo_set import MongoSet
from app.stack.process import together
from tests.integration.ledger.material import attempt, finish, key, keys
from tests.support.eventually import eventually

FAR_MS = 16_000
"""Time for an election on a busy machine, and for a primary that stands still to be given up."""
NEAR_MS = 2_000
ELECTED_S = 60
WRITERS = 16
NOT_PRIMARY = 10107


@pytest.fixture(scope="module")
def mongo_set(stack_folder):
    made = MongoSet(stack_folder / "elections")
    for each in made.members:
        each.process._command += ["--setParameter", "enableTestCommands=1"]

    async def start():
        await together(each.start() for each in made.members)
        await made.initiate()

    asyncio.run(start())
    yield made
    for each in made.members:
        each.kill9()


@pytest.fixture
async def members(mongo_set):
    """The set, whole; what a test does to its members is mended."""
    yield mongo_set
    for each in mongo_set.members:
        if each.process.running:
            each.process.resume()
        else:
            await each.start()
    await mongo_set.until_whole()


@pytest.fixture
async def make(members, env_name):
    made = []

    async def make(timeout_ms):
        url = members.database_url(env_name)
        made.append(MongoLedger(url, env="test", record_days=30, timeout_ms=timeout_ms))
        await made[-1].open()
        return made[-1]

    yield make
    for ledger in made:
        await ledger.close()


async def lose(primary, fault):
    if fault == "killed":
        primary.kill9()
    elif fault == "steps down":
        await primary.ask("replSetStepDown", 5, secondaryCatchUpPeriodSecs=4)
    else:
        primary.process.pause()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", ["killed", "steps down", "stands still"])
async def test_a_change_of_the_primary_fails_no_call_and_counts_no_outcome_twice(
    members, make, fault
):
    ledger, primary = await make(FAR_MS), await members.until_primary()
    writes, done = [finish(task, attempt=attempt()) for task in keys(400)], []
    turn = asyncio.Semaphore(WRITERS)

    async def write_one(write):
        async with turn:
            done.extend(await ledger.finish([write]))

    running = asyncio.gather(*(write_one(write) for write in writes))
    await eventually(lambda: len(done) >= 50, ELECTED_S)
    await lose(primary, fault)
    assert len(done) < len(writes)
    another = await members.until_primary(members.without(primary))
    before = len(done)
    await eventually(lambda: len(done) > before or running.done(), ELECTED_S)
    if fault == "stands still":
        # Until it moves, the others wait for it here and there.
        primary.process.resume()
    await running
    assert another is not primary
    assert all(answer.won for answer in done)
    for write in writes[:: len(writes) // 40]:
        assert (await ledger.get(write.key)).attempts == (write.attempt,)


async def test_who_refuses_again_and_again_is_asked_again(members, make):
    ledger, primary = await make(FAR_MS), await members.until_primary()
    refusals = {"errorCode": NOT_PRIMARY, "errorLabels": ["RetryableWriteError"]}
    for command, call in {
        "insert": lambda: ledger.finish([finish()]),
        "find": lambda: ledger.ask([key()]),
        "findAndModify": lambda: ledger.acquire_lease("mail", "me", 1_000),
    }.items():
        await primary.ask(
            "configureFailPoint",
            "failCommand",
            mode={"times": 3},
            data={"failCommands": [command], **refusals},
        )
        assert await call()


@pytest.mark.timeout(120)
async def test_what_a_lonely_primary_took_was_acknowledged_to_nobody_and_goes(
    members, make, env_name
):
    ledger, patient = await make(NEAR_MS), await make(FAR_MS)
    await patient.finish([finish(key("before"))])
    primary = await members.until_primary()
    others = members.without(primary)
    for each in others:
        each.kill9()
    lonely, lonely_too = finish(key("t")), finish(key("u"))
    with pytest.raises(Unavailable):
        await ledger.finish([lonely, lonely_too])
    with MongoClient(primary.direct_url(env_name)) as client:
        # It has them, for those who would read what may go.
        assert client.get_default_database()["records"].count_documents({}) == 3
    primary.process.pause()
    await together(each.start() for each in others)
    await members.until_primary(others)
    (other,) = await patient.finish([finish(key("t"), state="dead")])
    assert other.won
    primary.process.resume()
    await members.until_whole()
    assert (await patient.get(key("t"))).finished.state == "dead"
    assert (await patient.get(key("before"))).finished.state == "succeeded"
    # Whoever had no answer asks again: once it is told who was first, once it is in force.
    assert [each.won for each in await patient.finish([lonely, lonely_too])] == [False, True]


@pytest.mark.timeout(120)
async def test_a_ledger_opens_with_a_member_away(members, make):
    away = members.without(await members.until_primary())[0]
    away.kill9()
    first = await make(FAR_MS)
    await first.finish([finish(task) for task in keys(5)])
    for name in (await first._records.index_information()).keys() - {"_id_"}:
        await first._records.drop_index(name)
    # As after an upgrade: there are records, and an index that they have not got.
    again = await make(FAR_MS)
    assert again.identity == first.identity


@pytest.mark.timeout(120)
async def test_the_doctor_is_told_how_many_members_serve_and_that_there_is_no_primary(
    members, env_name
):
    def settings(url):
        return Settings(env="test", mongo_url=url, store_timeout_ms=NEAR_MS)

    named = settings(members.database_url(env_name))

    async def all_serve():
        facts = await read_ledger_server(named)
        assert (facts.members, facts.durable, facts.direct) == (3, True, False)
        return facts.online == 3

    # The primary counts by its heartbeats: one that came back is missed for a while.
    await eventually(all_serve, ELECTED_S)
    primary = await members.until_primary()
    facts = await read_ledger_server(settings(primary.direct_url(env_name)))
    assert (facts.members, facts.durable, facts.direct) == (3, True, True)
    first, second = members.without(primary)
    first.kill9()

    async def one_is_missed():
        return (await read_ledger_server(named)).online == 2

    await eventually(one_is_missed, ELECTED_S)
    second.kill9()

    async def none_is_primary():
        try:
            await read_ledger_server(named)
        except Unavailable as error:
            return "1 of 3 members answer, and none is the primary" in error.detail
        return False

    await eventually(none_is_primary, ELECTED_S)


@pytest.fixture
async def hide(members):
    """Take a member out of clients' sight; afterwards all are seen."""

    async def reconfigure(change):
        primary = await members.until_primary()
        config = (await primary.ask("replSetGetConfig"))["config"]
        for each in config["members"]:
            change(each)
        await primary.ask("replSetReconfig", config | {"version": config["version"] + 1})

    async def hide(hidden):
        def change(each):
            if each["host"] == hidden.host:
                each |= {"hidden": True, "priority": 0}

        await reconfigure(change)

    yield hide
    await reconfigure(lambda each: each.update(hidden=False, priority=1))


@pytest.mark.timeout(120)
async def test_a_hidden_member_stands_in_for_none_that_is_away(members, hide, env_name):
    named = Settings(env="test", mongo_url=members.database_url(env_name), store_timeout_ms=NEAR_MS)

    async def are_seen(count, online):
        facts = await read_ledger_server(named)
        return (facts.members, facts.online) == (count, online)

    hidden, away = members.without(await members.until_primary())
    await hide(hidden)
    await eventually(lambda: are_seen(2, 2), ELECTED_S)
    away.kill9()
    await eventually(lambda: are_seen(2, 1), ELECTED_S)
    await away.start()
