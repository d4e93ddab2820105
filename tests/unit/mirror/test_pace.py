"""How much is read at a time, and how waits grow."""

from app.broker.journal import JournalEntry
from mirror.pace import BACKOFF, READ_BYTES, READ_FIRST, READ_MOST, Backoff, ReadSize


def entries(n, size):
    return [JournalEntry(f"{i}-0", "t", 1, refresh=False, envelope=b"x" * size) for i in range(n)]


def test_reads_of_small_entries_grow_to_the_most():
    size = ReadSize()
    assert size.count == READ_FIRST
    for _ in range(5):
        size.seen(entries(4, 1_000))
    assert size.count == READ_MOST


def test_large_entries_are_read_few_at_a_time():
    size = ReadSize()
    size.seen(entries(8, 1 << 20))
    assert size.count == READ_BYTES >> 20
    size.seen(entries(1, READ_BYTES * 2))
    assert size.count == 1


def test_a_read_that_brought_nothing_in_time_asks_for_less_until_one():
    size = ReadSize()
    for _ in range(9):
        size.failed()
    assert size.count == 1
    size.seen([])
    assert size.count == 1


def test_waits_grow_with_each_failure_after_a_wait():
    backoff = Backoff()
    assert backoff.remaining_ms(0) == 0
    backoff.failed(0, 0)
    first = backoff.remaining_ms(0)
    assert first == BACKOFF.base_delay_ms
    backoff.failed(first, 0)
    assert backoff.remaining_ms(first) == 2 * first


def test_all_failures_within_one_wait_are_one():
    backoff = Backoff()
    for _ in range(10):
        backoff.failed(0, 0)
    assert backoff.remaining_ms(0) == BACKOFF.base_delay_ms


def test_a_success_starts_from_the_first_wait_again():
    backoff = Backoff()
    backoff.failed(0, 0)
    backoff.failed(1_000, 0)
    backoff.succeeded()
    backoff.failed(5_000, 0)
    assert backoff.remaining_ms(5_000) == BACKOFF.base_delay_ms
