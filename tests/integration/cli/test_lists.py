"""Lists that are longer than ``--limit``: what is left out is told, and had with ``--cursor``."""

import shlex

import pytest

from app.clock import now_ms
from app.ledger.records import ErrorInfo, QuarantineRecord
from app.state import TaskState

BUSY = ErrorInfo("busy", "The line is busy.", retryable=True)


@pytest.fixture
def fill(api, stores):
    """Puts five items onto a list, in two queues where the list has queues."""

    async def fill(group):
        for n in range(5):
            if group == "quarantine":
                record = QuarantineRecord(
                    f"t{n}", "NOT_AN_ENVELOPE", "default", "default", f"t{n}", {}, b"{", now_ms()
                )
                await stores.ledger.put_quarantine(record)
                continue
            queue = "alpha" if n < 2 else "beta"
            await api.submit(taskId=f"t{n}", queue=queue)
            if group != "task":
                await stores.park(f"t{n}", queue=queue, state=TaskState(group), error=BUSY)
        # A queue with nothing on the list is not more.
        await api.submit(queue="empty", type="other", delayMs=60_000)

    return fill


def ids_of(document):
    return [each.get("taskId") for each in document["items"]]


GROUPS = ["task", "dead", "suspended", "quarantine"]


@pytest.mark.parametrize("group", GROUPS)
async def test_a_list_goes_on_with_its_cursor(lifeboat, fill, group):
    await fill(group)
    only = ("--type", "report") if group != "quarantine" else ()
    pages, cursor = [], ()
    while True:
        ran = await lifeboat(group, "ls", *only, "--limit", "2", "--json", *cursor)
        assert (ran.code, ran.err) == (0, "")
        pages.append(ids_of(ran.document))
        if ran.document["cursor"] is None:
            break
        cursor = ("--cursor", ran.document["cursor"])
    assert [len(each) for each in pages] == [2, 2, 1]
    found = [each for page in pages for each in page]
    assert sorted(found) == ["t0", "t1", "t2", "t3", "t4"]
    every = await lifeboat(group, "ls", *only, "--limit", "0", "--json")
    assert (ids_of(every.document), every.document["cursor"]) == (found, None)


@pytest.mark.parametrize("group", GROUPS)
async def test_people_are_told_the_command_that_shows_more(lifeboat, fill, group):
    await fill(group)
    only = ("--queue", "beta") if group != "quarantine" else ()
    shown = await lifeboat(group, "ls", *only, "--limit", "2")
    (sentence,) = [line for line in shown.out.splitlines() if line.startswith("There is more: ")]
    command = shlex.split(sentence.split("`")[1])
    assert command[:3] == ["lifeboat", group, "ls"]
    for text in ("--limit", "2", *only):
        assert text in command
    more = await lifeboat(*command[1:])
    assert more.code == 0
    found = [each for each in ("t0", "t1", "t2", "t3", "t4") if each in shown.out + more.out]
    assert len(found) == (4 if group == "quarantine" else 3)
    assert ("There is more" in more.out) == (group == "quarantine")


@pytest.mark.parametrize("cursor", ["nonsense", "nowhere:"])
async def test_a_strange_cursor_over_all_queues_is_wrong_usage(lifeboat, fill, cursor):
    await fill("task")
    ran = await lifeboat("task", "ls", "--cursor", cursor, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "no cursor" in ran.err


async def test_a_strange_cursor_of_one_queue_is_refused(lifeboat, fill):
    await fill("task")
    ran = await lifeboat("dead", "ls", "--queue", "beta", "--cursor", "nonsense")
    assert (ran.code, "cursor" in ran.err) == (1, True)
