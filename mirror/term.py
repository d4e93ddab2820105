"""A term: what a mirror knows while it keeps one journal, under one lease and one generation.

It is dropped whole with either of them (rule 1). A publish that is still in flight then
holds the old term and settles nothing in the new one.
"""

import asyncio
from typing import Any

from app.broker.journal import JournalEntry
from mirror.pace import Backoff, ReadSize
from mirror.window import Window


class JournalLost(Exception):
    """The journal has fewer entries behind it than were read from it: it was lost or set back."""


class Term:
    """``token`` is the generation; ``cursor`` the last journal id read, None: from the start."""

    def __init__(self, token: str, window_size: int) -> None:
        self.token = token
        self.cursor: str | None = None
        self.window = Window(window_size)
        self.read_size = ReadSize()
        self.backoff = Backoff()
        self.waiting = asyncio.Event()
        """Something waits to be published."""
        self.settled = asyncio.Event()
        """An entry was confirmed, so there may be a prefix to trim."""
        self.room = asyncio.Event()
        """Something was trimmed, so more can be read."""
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails with the surprise that ended a task of this term."""

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Let the term end when ``task`` fails: what it carried would stay in flight for ever."""
        task.add_done_callback(self._ended)

    def advance(self, entries: list[JournalEntry], last_id: str) -> None:
        """Note what was read behind the cursor, and the stream's last id.

        Raises:
            JournalLost: the stream's ids begin anew; what is known of them must be forgotten.
        """
        # Ids only grow within one stream. With the journal's key lost, others are in use.
        if self.cursor is not None and _position(last_id) < _position(self.cursor):
            raise JournalLost
        if entries:
            self.cursor = entries[-1].journal_id

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or self.broken.done():
            return
        if (error := task.exception()) is not None:
            self.broken.set_exception(error)


def _position(journal_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = journal_id.partition("-")
    return int(milliseconds), int(sequence)
