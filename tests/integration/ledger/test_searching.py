"""Searching finished records, the same on both ledgers: filters, order, pages, and their cost."""

import random
from base64 import urlsafe_b64encode
from dataclasses import replace

import orjson
import pytest

from app.errors import InvalidTask
from app.ledger import searches, searching, selects
from app.ledger.paging import unfiltered
from app.ledger.records import About, ErrorInfo, RecordQuery
from app.names import QueueName, TaskKey
from app.state import FINISHED
from tests.integration.ledger.material import AT_MS, BOOM, attempt, finish, key, opening, part

DEAD = frozenset({"dead"})
MAIL = RecordQuery("acme", "mail")
SMS = QueueName("acme", "sms")


async def ids(ledger, query=MAIL, **more):
    page = await ledger.search(query, **more)
    return [record.key.task_id for record in page.items]


async def pages(ledger, query, **more):
    """Every page's ids, by following the cursors."""
    found = []
    while True:
        page = await ledger.search(query, **more)
        found.append([record.key.full for record in page.items])
        if page.cursor is None:
            return found
        query = replace(query, cursor=page.cursor)


async def test_nothing_is_found_where_nothing_is(ledger):
    page = await ledger.search(MAIL)
    assert (page.items, page.cursor) == ([], None)


async def test_a_found_record_is_the_whole_record(ledger):
    write = finish(state="dead", result=None, error=BOOM, attempt=attempt())
    await ledger.finish([write])
    await ledger.record_open([opening(of=part(run=2))])
    page = await ledger.search(MAIL)
    assert page.items == [await ledger.get(key())]
    assert page.items[0].finished == write.finished


async def test_unfinished_tasks_are_not_found(ledger):
    await ledger.record_open([opening()])
    assert await ids(ledger) == []
    assert await ids(ledger, RecordQuery("acme")) == []


async def test_a_later_outcome_replaces_the_earlier_also_here(ledger):
    about = About("sms.send", None, None, None, AT_MS)
    await ledger.finish([finish(state="dead", error=BOOM)])
    await ledger.finish([finish(run=2, at_ms=AT_MS + 5, about=about)])
    for gone in (
        replace(MAIL, states=DEAD),
        replace(MAIL, error="ValueError"),
        replace(MAIL, type="mail.send"),
        replace(MAIL, until_ms=AT_MS + 5),
    ):
        assert await ids(ledger, gone) == []
    assert await ids(ledger, replace(MAIL, type="sms.send", since_ms=AT_MS + 5)) == ["t1"]


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ({"states": frozenset({"dead", "expired"})}, ["d", "c"]),
        ({"type": "mail.send"}, ["d", "b"]),
        ({"error": "ValueError"}, ["d"]),
        ({"error": "$set"}, ["c"]),
        ({"channel": "telegram"}, ["b"]),
        ({"user": "ada"}, ["d", "b"]),
        ({"user": "$user"}, ["a"]),
        ({"chat_id": "7"}, ["b"]),
        ({"since_ms": AT_MS + 2}, ["d", "c"]),
        ({"until_ms": AT_MS + 2}, ["b", "a"]),
        ({"since_ms": AT_MS + 1, "until_ms": AT_MS + 3}, ["c", "b"]),
        ({"since_ms": AT_MS + 2, "until_ms": AT_MS + 2}, []),
        ({"type": "mail.send", "user": "ada", "states": DEAD}, ["d"]),
        ({"type": "mail.send", "user": "nobody"}, []),
        ({"queue": "sms"}, ["e"]),
        ({"queue": None}, ["e", "d", "c", "b", "a"]),
        ({"queue": None, "states": DEAD}, ["e", "d"]),
        ({"tenant": "other"}, ["f"]),
        ({"tenant": "nobody"}, []),
    ],
)
async def test_filters(ledger, wish, found):
    def about(type, channel=None, user=None, chat_id=None):
        return About(type, channel, user, chat_id, AT_MS)

    odd = ErrorInfo("$set", "m", retryable=False)
    await ledger.finish(
        [
            finish(key("a"), at_ms=AT_MS, about=about("x", user="$user")),
            finish(key("b"), at_ms=AT_MS + 1, about=about("mail.send", "telegram", "ada", "7")),
            finish(key("c"), 1, "expired", at_ms=AT_MS + 2, error=odd, about=about("x")),
            finish(
                key("d"),
                1,
                "dead",
                at_ms=AT_MS + 3,
                error=BOOM,
                about=about("mail.send", user="ada"),
            ),
            finish(key("e", SMS), 1, "dead", at_ms=AT_MS + 4, about=about("x")),
            finish(key("f", QueueName("other", "mail")), 1, "dead", about=about("x")),
        ]
    )
    assert await ids(ledger, replace(MAIL, **wish)) == found


async def test_ties_are_ordered_by_the_full_name(ledger):
    tasks = [
        key(name, queue) for name in ("b", "a", "c") for queue in (SMS, QueueName("acme", "x"))
    ]
    await ledger.finish([finish(task, state="dead") for task in tasks])
    (found,) = await pages(ledger, RecordQuery("acme", states=DEAD))
    assert found == sorted((task.full for task in tasks), reverse=True)


async def test_a_page_says_whether_there_is_another(ledger):
    await ledger.finish([finish(key(f"t{n}"), at_ms=AT_MS + n) for n in range(4)])
    found = await pages(ledger, replace(MAIL, limit=2))
    assert found == [["acme/mail/t3", "acme/mail/t2"], ["acme/mail/t1", "acme/mail/t0"]]
    assert len(await pages(ledger, replace(MAIL, limit=4))) == 1
    assert [len(page) for page in await pages(ledger, replace(MAIL, limit=3))] == [3, 1]


async def test_what_comes_and_goes_between_pages_moves_no_other(ledger):
    await ledger.finish([finish(key(f"t{n}"), at_ms=AT_MS + n) for n in range(6)])
    first = await ledger.search(replace(MAIL, limit=3))
    await ledger.finish([finish(key("new"), at_ms=AT_MS + 9)])
    # The last of the first page itself leaves its place.
    await ledger.finish([finish(key("t3"), run=2, at_ms=AT_MS + 10)])
    assert await ids(ledger, replace(MAIL, limit=3, cursor=first.cursor)) == ["t2", "t1", "t0"]


def cursor(value):
    return urlsafe_b64encode(orjson.dumps(value)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "é",
        "AAA",
        cursor(None),
        cursor({}),
        cursor([1]),
        cursor([1, 2]),
        cursor(["1", "a"]),
        cursor([True, "a"]),
        cursor([-1, "a"]),
        cursor([(1 << 63) - 1, "a"]),
        cursor([1.5, "a"]),
        cursor([1, "a", 2]),
    ],
)
async def test_a_cursor_that_is_none_is_refused(ledger, text):
    with pytest.raises(InvalidTask) as raised:
        await ledger.search(replace(MAIL, cursor=text))
    assert [problem.pointer for problem in raised.value.problems] == ["?cursor"]


def some_finish(rng, n):
    return finish(
        TaskKey(rng.choice(["acme", "acme", "zeta"]), rng.choice("xyz"), f"t{n}"),
        state=rng.choice(sorted(FINISHED)),
        at_ms=AT_MS + rng.randint(0, 9),
        error=rng.choice([None, BOOM, replace(BOOM, type="OSError")]),
        about=About(
            rng.choice("ab"),
            rng.choice([None, "http", "cli"]),
            rng.choice([None, "ada"]),
            rng.choice([None, "1", "2"]),
            AT_MS,
        ),
    )


def some_query(rng):
    def maybe(*values):
        return rng.choice([None, *values]) if rng.random() < 0.4 else None

    return RecordQuery(
        rng.choice(["acme", "zeta"]),
        maybe("x", "y"),
        frozenset(rng.sample(sorted(FINISHED), rng.choice([0, 1, 1, 2, 3]))),
        type=maybe("a", "b"),
        error=maybe("ValueError", "OSError"),
        channel=maybe("http", "cli"),
        user=maybe("ada"),
        chat_id=maybe("1", "2"),
        since_ms=maybe(AT_MS + 2, AT_MS + 5),
        until_ms=maybe(AT_MS + 4, AT_MS + 9),
        limit=rng.choice([1, 3, 50]),
    )


def is_wanted(write, query):
    of, about = write.finished, write.about
    members = {
        "tenant": write.key.tenant,
        "queue": write.key.queue,
        "type": about.type,
        "error": of.error.type if of.error else None,
        "channel": about.channel,
        "user": about.user,
        "chat_id": about.chat_id,
    }
    return (
        all(getattr(query, name) in (None, value) for name, value in members.items())
        and (not query.states or of.state in query.states)
        and (query.since_ms is None or of.at_ms >= query.since_ms)
        and (query.until_ms is None or of.at_ms < query.until_ms)
    )


@pytest.mark.parametrize("seed", range(3))
async def test_random_searches(ledger, seed):
    rng = random.Random(seed)
    writes = [some_finish(rng, n) for n in range(150)]
    await ledger.finish(writes)
    for _ in range(40):
        query = some_query(rng)
        wanted = [write for write in writes if is_wanted(write, query)]
        wanted.sort(key=lambda write: (write.finished.at_ms, write.key.full), reverse=True)
        found = await pages(ledger, query)
        assert [name for page in found for name in page] == [w.key.full for w in wanted], query
        assert all(len(page) == query.limit for page in found[:-1])


@pytest.fixture
def search_of(ledger, kind):
    """A search that looks at so many records and no more."""

    def make(most):
        async def search(query):
            if kind == "mongo":
                return await searching.search_documents(
                    ledger._records, query, include_redriven=False, most_ms=10_000, most=most
                )
            return await ledger._run(
                lambda db: searching.search_rows(db, query, include_redriven=False, most=most)
            )

        return search

    return make


class Looking:
    def __init__(self, search):
        self.search = search


@pytest.mark.parametrize("most", [1, 7, 1_000])
@pytest.mark.parametrize("seed", range(2))
async def test_random_searches_that_look_at_a_few_records_each(ledger, search_of, most, seed):
    rng = random.Random(seed)
    writes = [some_finish(rng, n) for n in range(100)]
    await ledger.finish(writes)
    for _ in range(15):
        query = some_query(rng)
        wanted = [write for write in writes if is_wanted(write, query)]
        wanted.sort(key=lambda write: (write.finished.at_ms, write.key.full), reverse=True)
        found = await pages(Looking(search_of(most)), query)
        assert [name for page in found for name in page] == [w.key.full for w in wanted], query


async def test_what_few_records_are_is_not_looked_for_in_all_of_them_at_once(ledger, search_of):
    rare = replace(finish().about, type="rare")
    await ledger.finish([finish(key(f"t{n:02}"), at_ms=AT_MS + n) for n in range(40)])
    await ledger.finish([finish(key("r"), at_ms=AT_MS + 5, about=rare)])
    looking = Looking(search_of(10))
    found = await pages(looking, replace(MAIL, type="rare"))
    assert found == [[], [], [], ["acme/mail/r"]]
    # Where all are wanted there is no end to look for.
    assert len(await pages(looking, replace(MAIL, limit=50))) == 1


PLANNED = {
    "one state": replace(MAIL, states=DEAD),
    "parked": replace(MAIL, states=frozenset({"dead", "suspended"})),
    "every state": MAIL,
    "filtered": replace(MAIL, states=DEAD, type="x", error="y", user="z", since_ms=1, until_ms=9),
    "a later page": replace(MAIL, cursor=cursor([AT_MS, "acme/mail/t1"])),
    "a tenant's dead": RecordQuery("acme", states=DEAD),
    "a tenant's parked": RecordQuery("acme", states=frozenset({"dead", "suspended"})),
    "a later page of a tenant's": RecordQuery(
        "acme", states=DEAD, cursor=cursor([AT_MS, "acme/mail/t1"])
    ),
}


def stages(plan):
    """Names of a MongoDB plan's stages, from the top down."""
    below = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return [plan["stage"], *(stage for each in below for stage in stages(each))]


@pytest.fixture
async def explain(ledger, kind):
    """What a search reads, as the store itself says: its steps, in the store's own words."""
    await ledger.finish(
        [
            finish(key(f"{state}-{n}", queue), state=state, at_ms=AT_MS + n)
            for state in sorted(FINISHED)
            for queue in (SMS, QueueName("acme", "mail"))
            for n in range(40)
        ]
    )

    async def mongo(query, include_redriven):
        matching = searches.matching(query, include_redriven=include_redriven)
        cursor = ledger._records.find(matching).sort(searches.NEWEST_FIRST).limit(query.limit + 1)
        answer = await cursor.explain()
        planner = answer["queryPlanner"]["winningPlan"]
        return stages(planner.get("queryPlan", planner)), answer["executionStats"]

    async def sqlite(query, include_redriven):
        statement, variables = selects.select(
            query, include_redriven=include_redriven, rows_max=query.limit + 1
        )
        found = await ledger._run(
            lambda db: db.execute(f"EXPLAIN QUERY PLAN {statement}", variables).fetchall()
        )
        return [row["detail"] for row in found], None

    return mongo if kind == "mongo" else sqlite


@pytest.mark.parametrize("include_redriven", [False, True])
@pytest.mark.parametrize("name", PLANNED)
async def test_a_search_walks_an_index_in_its_order(explain, name, include_redriven, kind):
    steps, figures = await explain(replace(PLANNED[name], limit=4), include_redriven)
    if kind == "mongo":
        assert "IXSCAN" in steps
        assert not {"COLLSCAN", "SORT"} & set(steps)
        assert figures["totalDocsExamined"] <= (40 if name == "filtered" else 6), figures
    else:
        reads = [step for step in steps if "records" in step]
        assert reads
        assert all(step.startswith("SEARCH records USING INDEX") for step in reads)
        assert not any("TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize("name", PLANNED)
async def test_where_a_look_ends_is_read_from_an_index_alone(ledger, explain, name, kind):
    await explain(MAIL, False)
    query = unfiltered(PLANNED[name])
    if kind == "mongo":
        looked = searches.matching(query, include_redriven=False)
        times = ledger._records.find(looked, searches.TIME_ALONE).sort(searches.NEWEST_FIRST)
        answer = await times.skip(3).limit(1).explain()
        assert answer["executionStats"]["totalDocsExamined"] == 0
        assert answer["executionStats"]["totalKeysExamined"] <= 60
    else:
        statement, variables = selects.select_end(query, include_redriven=False, rows_max=3)
        steps = await ledger._run(
            lambda db: db.execute(f"EXPLAIN QUERY PLAN {statement}", variables).fetchall()
        )
        reads = [step["detail"] for step in steps]
        assert not any("TEMP B-TREE" in step or step.startswith("SCAN records") for step in reads)
        assert any("COVERING INDEX" in step for step in reads)


async def test_a_tenants_terminal_records_are_found_without_reading_all_tenants(explain, kind):
    steps, _ = await explain(RecordQuery("acme", states=frozenset({"succeeded"})), False)
    if kind == "mongo":
        assert "COLLSCAN" not in steps
    else:
        assert not any(step.startswith("SCAN records") for step in steps)
