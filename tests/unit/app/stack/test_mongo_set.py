"""A set of three: what it is told, how it is named, when it is whole."""

import pytest

from app.stack.mongo_set import configuration, whole
from app.stack.stack import DATABASE, Stack

PRIMARY = {"isWritablePrimary": True, "me": "a:1", "primary": "a:1"}
FOLLOWER = {"secondary": True, "me": "b:2", "primary": "a:1"}
OTHER = FOLLOWER | {"me": "c:3"}


def test_one_primary_that_all_others_follow_is_whole():
    assert whole([PRIMARY, FOLLOWER, OTHER])
    assert whole([OTHER, FOLLOWER, PRIMARY])


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"me": "c:3", "primary": "a:1"},
        OTHER | {"primary": None},
        OTHER | {"primary": "c:3"},
        {"isWritablePrimary": True, "me": "c:3", "primary": "c:3"},
    ],
    ids=["silent", "recovering", "knows no primary", "follows another", "a second primary"],
)
def test_with_such_a_member_it_is_not(member):
    assert not whole([PRIMARY, FOLLOWER, member])


def test_without_a_primary_it_is_not():
    assert not whole([FOLLOWER, OTHER, OTHER])


def test_every_member_has_a_vote():
    told = configuration(["a:1", "b:2", "c:3"])
    assert [each["host"] for each in told["members"]] == ["a:1", "b:2", "c:3"]
    assert [each["_id"] for each in told["members"]] == [0, 1, 2]


def test_the_ledgers_url_names_every_member(tmp_path):
    stack = Stack(tmp_path, electing=True)
    assert stack.mongo is stack.mongo_set.members[0]
    url = stack.mongo_set.database_url(DATABASE)
    assert stack.environment()["LIFEBOAT_MONGO_URL"] == url
    assert all(f"127.0.0.1:{each.port}" in url for each in stack.ledgers)
    assert len({each.port for each in stack.ledgers}) == 3
    assert len({each.data for each in stack.ledgers}) == 3
    assert [each.name for each in stack.ledgers] == ["mongo-1", "mongo-2", "mongo-3"]
    assert set(stack.ledgers) <= set(stack.servers)


def test_without_members_there_is_one_mongod_or_none(tmp_path):
    assert [each.name for each in Stack(tmp_path / "one").ledgers] == ["mongo"]
    assert Stack(tmp_path / "none", mongo=False, electing=True).ledgers == []
