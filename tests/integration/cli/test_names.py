"""Names that break a rule: wrong usage that says which option and what it may be, nothing done."""

import pytest

NOWHERE = "http://127.0.0.1:9"
QUEUE = "[a-z0-9][a-z0-9_-]{0,62}"
TYPE = "[A-Za-z0-9][A-Za-z0-9._-]{0,126}"
TASK_ID = "[A-Za-z0-9][A-Za-z0-9._:-]{0,126}"

QUEUES = [
    ("rehydrate", "--queue"),
    ("rehydrate", "--tenant"),
    ("reconcile", "--queue"),
    ("remirror", "--queue"),
    ("remirror", "--tenant"),
    ("mirror", "--queue"),
    ("rehydrator", "--queue"),
    ("worker", "--queue"),
    ("worker", "--tenant"),
    ("canary", "--queue"),
    ("task", "add", "report", "--queue"),
    ("task", "ls", "--queue"),
    ("task", "get", "t1", "--queue"),
    ("task", "wait", "t1", "--queue"),
    ("task", "cancel", "t1", "--yes", "--queue"),
    ("task", "retry", "t1", "--queue"),
    ("dead", "ls", "--queue"),
    ("dead", "retry", "t1", "--queue"),
    ("suspended", "discard", "t1", "--yes", "--queue"),
]
IDS = [
    ("rehydrate", "--task"),
    ("task", "add", "report", "--id"),
]
PLACES = [
    *((("queue", each), "QUEUE", QUEUE) for each in ("inspect", "coverage", "pause", "unpause")),
    (("queue", "clear", "--yes"), "QUEUE", QUEUE),
    *((("task", each), "TASK_ID", TASK_ID) for each in ("get", "wait", "retry")),
    (("task", "cancel", "--yes"), "TASK_ID", TASK_ID),
    *((("dead", each), "TASK_ID", TASK_ID) for each in ("show", "retry")),
    (("suspended", "resume", "t1"), "TASK_ID", TASK_ID),
    (("suspended", "discard", "--yes", "t1"), "TASK_ID", TASK_ID),
    (("task", "add"), "TYPE", TYPE),
    (("task", "ls", "--type"), "--type", TYPE),
    (("dead", "ls", "--type"), "--type", TYPE),
    *((each, each[-1], QUEUE) for each in QUEUES),
    *((each, each[-1], TASK_ID) for each in IDS),
]


@pytest.mark.parametrize(("words", "place", "rule"), PLACES, ids=str)
@pytest.mark.parametrize("name", ["", "No Pe", "../x", "ä", "x" * 256])
async def test_a_name_that_breaks_a_rule_is_wrong_usage(lifeboat_at, words, place, rule, name):
    ran = await lifeboat_at(NOWHERE, *words, name)
    assert (ran.code, ran.out) == (2, "")
    assert f"'{place}'" in ran.err
    assert rule in ran.err


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("task", "ls", "--state"), "'--state'"),
        (("task", "add", "x", "--priority"), "'--priority'"),
    ],
)
async def test_one_of_several_is_a_plain_sentence(lifeboat_at, words, place):
    ran = await lifeboat_at(NOWHERE, *words, "frob")
    assert ran.code == 2
    assert f"Invalid value for {place}: 'frob' is not one of " in ran.err


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_a_key_that_breaks_a_rule_is_wrong_usage(lifeboat_at, key):
    ran = await lifeboat_at(NOWHERE, "task", "add", "report", "--key", key)
    assert (ran.code, ran.out) == (2, "")
    assert "'--key'" in ran.err
    assert "1 to 255 visible ASCII" in ran.err


async def test_a_misspelt_setting_is_told_once(lifeboat_at, monkeypatch):
    monkeypatch.setenv("LIFEBOAT_API_ULR", NOWHERE)
    ran = await lifeboat_at(NOWHERE, "queue", "ls")
    assert ran.err.count("LIFEBOAT_API_ULR (did you mean LIFEBOAT_API_URL?)") == 1


async def test_a_canary_needs_time(lifeboat_at):
    ran = await lifeboat_at(NOWHERE, "canary", "--timeout", "0s")
    assert (ran.code, ran.out) == (2, "")
    assert "--timeout" in ran.err
