"""The window: order, bounds, and the longest confirmed prefix."""

from app.broker.journal import JournalEntry
from mirror.window import WINDOW_BYTES, Held, Window


def held(n, size=10):
    return Held(JournalEntry(f"{n}-0", f"task-{n}", 1, refresh=False, envelope=b"x" * size), None)


def filled(n, size=100):
    window = Window(size)
    window.add([held(i) for i in range(n)])
    return window


def ids(entries):
    return [getattr(each, "entry", each).journal_id for each in entries]


def test_entries_are_taken_in_journal_order_once():
    window = filled(5)
    assert ids(window.take(2)) == ["0-0", "1-0"]
    assert ids(window.take(9)) == ["2-0", "3-0", "4-0"]
    assert window.take(9) == []
    assert window.waiting == 0


def test_what_was_not_confirmed_is_taken_again_before_what_came_later():
    window = filled(4)
    first = window.take(2)
    window.settle(first, [False, False])
    assert ids(window.take(3)) == ["0-0", "1-0", "2-0"]


def test_nothing_is_trimmed_past_an_entry_in_flight():
    window = filled(3)
    taken = window.take(3)
    window.settle(taken[1:], [True, True])
    assert window.prefix(9) == []
    window.settle(taken[:1], [True])
    assert ids(window.prefix(9)) == ["0-0", "1-0", "2-0"]


def test_nothing_is_trimmed_past_an_entry_that_waits_again():
    window = filled(3)
    window.settle(window.take(3), [True, False, True])
    assert ids(window.prefix(9)) == ["0-0"]
    window.drop(1)
    assert window.prefix(9) == []
    window.settle(window.take(9), [True])
    assert ids(window.prefix(9)) == ["1-0", "2-0"]


def test_a_prefix_is_no_longer_than_asked_for():
    window = filled(5)
    window.settle(window.take(5), [True] * 5)
    assert ids(window.prefix(2)) == ["0-0", "1-0"]
    window.drop(2)
    assert ids(window.prefix(9)) == ["2-0", "3-0", "4-0"]


def test_room_is_what_is_not_held_whether_confirmed_or_not():
    window = filled(4, size=6)
    assert window.room == 2
    window.settle(window.take(4), [True] * 4)
    assert window.room == 2
    window.drop(3)
    assert (window.room, len(window)) == (5, 1)


def test_few_large_entries_fill_it_too():
    window = Window(1_000)
    window.add([held(i, WINDOW_BYTES // 4) for i in range(4)])
    assert window.room == 0
    window.settle(window.take(1), [True])
    window.drop(1)
    assert window.room == 1_000 - 3
