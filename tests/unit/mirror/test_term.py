"""A term follows one stream: ids that begin anew end it."""

import asyncio

import pytest

from app.broker.journal import JournalEntry
from mirror.term import JournalLost, Term


def entry(journal_id):
    return JournalEntry(journal_id, "t", 1, refresh=False, envelope=b"")


async def test_the_cursor_follows_what_was_read():
    term = Term("g", 10)
    term.advance([], "0-0")
    assert term.cursor is None
    term.advance([entry("9-1"), entry("10-0")], "11-0")
    assert term.cursor == "10-0"
    term.advance([], "11-0")
    assert term.cursor == "10-0"


@pytest.mark.parametrize("last", ["0-0", "9-5", "10-2"])
async def test_a_stream_that_ends_before_the_cursor_is_another_one(last):
    term = Term("g", 10)
    term.advance([entry("10-3")], "10-3")
    with pytest.raises(JournalLost):
        term.advance([], last)


async def test_a_task_that_fails_ends_the_term_and_one_that_is_cancelled_does_not():
    term = Term("g", 10)

    async def fail():
        raise ValueError("surprise")

    idle = asyncio.create_task(asyncio.sleep(60))
    term.watch(idle)
    idle.cancel()
    await asyncio.wait([idle])
    assert not term.broken.done()
    term.watch(asyncio.create_task(fail()))
    with pytest.raises(ValueError, match="surprise"):
        await term.broken
