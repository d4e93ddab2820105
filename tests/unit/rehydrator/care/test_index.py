"""The index of copies."""

from app.names import TaskKey
from rehydrator.care.index import CopyIndex, number_of


def index_of(*pairs):
    index = CopyIndex()
    for pair in pairs:
        index.add(*pair)
    index.close()
    return index


KEYS = [TaskKey("acme", "mail", f"task-{i}") for i in range(500)]


def test_it_knows_each_run_it_was_told_and_no_other():
    index = index_of(*((key, 1) for key in KEYS))
    assert all(index.has(key, 1) for key in KEYS)
    assert not any(index.has(key, 2) for key in KEYS)
    assert not index.has(TaskKey("other", "mail", "task-1"), 1)
    assert len(index) == 500


def test_it_knows_what_came_more_than_once():
    index = index_of((KEYS[0], 1), (KEYS[1], 1), (KEYS[0], 1), (KEYS[1], 2), (KEYS[0], 1))
    assert index.repeated == {number_of(KEYS[0], 1)}


def test_an_empty_one_has_nothing():
    index = index_of()
    assert not index.has(KEYS[0], 1)
    assert index.repeated == frozenset()
