"""What the doctor says of what servers say of themselves."""

from dataclasses import replace

import pytest

from app.amqp.management import NodeFacts, QueueFacts
from app.amqp.topology import QUARANTINE, arguments_of, mirror_queue
from app.broker.server import RedisFacts
from app.ledger.server import LedgerFacts
from rehydrator.care.checks import (
    about_clock,
    about_identity,
    about_ledger,
    about_nodes,
    about_python,
    about_queue,
    about_redis,
    about_settings,
    about_version,
    away,
    parsed,
)


def test_misspelt_settings_are_a_warning():
    assert about_settings(None).grade == "ok"
    found = about_settings("No setting is called LIFEBOAT_X: it has no effect.")
    assert (found.grade, found.sentence) == (
        "warn",
        "No setting is called LIFEBOAT_X: it has no effect.",
    )


REDIS = RedisFacts(
    version="7.0.15",
    role="master",
    eviction="noeviction",
    memory=10,
    memory_max=100,
    evicted=0,
    append_only=True,
    append_only_ok=True,
    cluster=False,
    now_ms=0,
)
NODES = ("rabbit@a", "rabbit@b", "rabbit@c")
NAME = mirror_queue("mail")
QUEUE = QueueFacts(NAME, arguments_of(NAME), NODES, NODES, "rabbit@a", 0, 0, {})
NODE = NodeFacts("rabbit@a", True, False, False, 9 << 30, 1 << 30, False)
LEDGER = LedgerFacts("mongodb", "6.0.5", 3, True, "", 0)


def worst(checks):
    return sorted({each.grade for each in checks} - {"ok"})


def of(checks, name):
    (check,) = [each for each in checks if each.name == name and each.grade != "ok"]
    return check


def test_servers_as_they_should_be_are_all_ok():
    checks = [*about_redis(REDIS), *about_queue(QUEUE), *about_nodes([NODE]), *about_ledger(LEDGER)]
    assert worst([*checks, about_python()]) == []


@pytest.mark.parametrize(
    ("changes", "name", "grade"),
    [
        ({"version": "6.2.14"}, "redis-version", "fail"),
        ({"role": "slave"}, "redis-role", "fail"),
        ({"eviction": "allkeys-lru"}, "redis-eviction", "fail"),
        ({"eviction": "volatile-ttl", "memory_max": 0}, "redis-eviction", "fail"),
        ({"append_only": False}, "redis-aof", "warn"),
        ({"append_only_ok": False}, "redis-aof", "fail"),
        ({"memory_max": 0}, "redis-memory", "warn"),
        ({"memory": 90}, "redis-memory", "warn"),
        ({"memory": 101}, "redis-memory", "fail"),
    ],
    ids=str,
)
def test_redis(changes, name, grade):
    checks = about_redis(replace(REDIS, **changes))
    assert grade in worst(checks)
    assert of(checks, name).grade == grade


@pytest.mark.parametrize("argument", sorted(arguments_of(NAME)))
def test_each_argument_of_a_queue_counts(argument):
    found = {name: value for name, value in arguments_of(NAME).items() if name != argument}
    checks = about_queue(replace(QUEUE, arguments=found))
    assert worst(checks) == ["fail"]
    assert argument in of(checks, f"rabbitmq-queue {NAME}").sentence


def test_the_quarantine_has_arguments_of_its_own():
    facts = replace(QUEUE, name=QUARANTINE, arguments=arguments_of(QUARANTINE))
    assert worst(about_queue(facts)) == []
    assert worst(about_queue(replace(facts, arguments=arguments_of(NAME)))) == ["fail"]


@pytest.mark.parametrize(
    ("changes", "grade", "word"),
    [
        ({"members": NODES[:1], "online": NODES[:1]}, "warn", "three nodes"),
        ({"online": NODES[:2]}, "warn", "2 of 3"),
        ({"online": NODES[:1]}, "fail", "no majority"),
        ({"policy": {"delivery-limit": 20}}, "fail", "delivery-limit"),
        ({"policy": {"message-ttl": 1000}}, "fail", "message-ttl"),
    ],
    ids=str,
)
def test_members_and_policies_of_a_queue(changes, grade, word):
    checks = about_queue(replace(QUEUE, **changes))
    assert worst(checks) == [grade]
    assert word in of(checks, f"rabbitmq-queue {NAME}").sentence


def test_a_harmless_policy_is_no_matter():
    assert worst(about_queue(replace(QUEUE, policy={"queue-leader-locator": "balanced"}))) == []


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({"running": False}, "warn"),
        ({"memory_alarm": True}, "fail"),
        ({"disk_alarm": True}, "fail"),
        ({"disk_free": 3 << 29}, "warn"),
        ({"partitioned": True}, "fail"),
    ],
    ids=str,
)
def test_nodes(changes, grade):
    assert worst(about_nodes([NODE, replace(NODE, **changes)])) == [grade]


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({"version": "5.0.1"}, "fail"),
        ({"durable": False, "why_not": "no majority"}, "fail"),
        ({"members": 1}, "warn"),
        ({"members": 0}, "warn"),
        ({"online": 2}, "warn"),
        ({"direct": True}, "warn"),
    ],
    ids=str,
)
def test_the_ledger(changes, grade):
    assert worst(about_ledger(replace(LEDGER, **changes))) == [grade]


def test_a_set_whose_members_all_serve_is_ok_and_so_is_one_we_may_not_look_into():
    assert worst(about_ledger(replace(LEDGER, online=3))) == []
    assert worst(about_ledger(replace(LEDGER, online=None))) == []


def test_one_member_alone_is_told_once():
    checks = about_ledger(replace(LEDGER, members=1, online=1, direct=True))
    assert [each.name for each in checks if each.grade != "ok"] == ["ledger-durability"]


def test_one_file_needs_no_members():
    assert worst(about_ledger(LedgerFacts("sqlite", "3.40.1", 1, True, "", 0))) == []


@pytest.mark.parametrize(
    ("theirs_ms", "grade"),
    [(100_000, "ok"), (98_500, "ok"), (102_900, "ok"), (97_900, "warn"), (103_100, "warn")],
)
def test_clocks_may_be_two_seconds_apart(theirs_ms, grade):
    # Read between 100.0 and 101.0 by ours.
    assert about_clock("c", "Redis", theirs_ms, 100_000, 101_000).grade == grade


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("7.0.15", (7, 0, 15)), ("4.0.5-beta.1", (4, 0, 5)), ("3.10", (3, 10)), ("", ()), ("x", ())],
)
def test_versions_are_compared_by_number(text, numbers):
    assert parsed(text) == numbers


def test_ten_is_newer_than_nine():
    assert about_version("rabbitmq", "3.10.0").grade == "ok"
    assert about_version("rabbitmq", "3.9.29").grade == "fail"


def test_another_ledger_is_a_failure_and_none_is_not():
    assert about_identity("n", "Redis", "", "us").grade == "ok"
    assert about_identity("n", "Redis", "us", "us").grade == "ok"
    assert about_identity("n", "Redis", "them", "us").grade == "fail"


def test_what_is_away_is_a_failure_with_a_sentence():
    check = away("redis", "Redis", "connection refused.")
    assert (check.grade, check.document()["status"]) == ("fail", "fail")
    assert "connection refused. Start it" in check.sentence
