"""The window: what was read from the journal and is not trimmed yet. Pure.

A window belongs to one history of one journal; it is dropped whole with what it was learnt under
(rule 1), so an answer that comes late settles a window nobody looks at any more.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from app.amqp.copies import Heading
from app.broker.journal import JournalEntry

WINDOW_BYTES: Final = 64 << 20
"""A window is full with so many bytes of envelopes, however few they are."""


@dataclass(slots=True, eq=False)
class Held:
    """One journal entry in the window; ``heading``: what it says, or why it says nothing."""

    entry: JournalEntry
    heading: Heading | Exception
    place: int = 0
    confirmed: bool = False


class Window:
    """Entries in journal order, each waiting to be published, in flight, or confirmed."""

    def __init__(self, size: int) -> None:
        """``size``: entries held at the most."""
        self._size = size
        self._bytes = 0
        self._held: deque[Held] = deque()
        self._fresh: deque[Held] = deque()
        self._again: list[tuple[int, Held]] = []
        self._next_place = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many entries more it takes."""
        if self._bytes >= WINDOW_BYTES:
            return 0
        return max(0, self._size - len(self._held))

    @property
    def waiting(self) -> int:
        """How many entries wait to be published, for the first time or again."""
        return len(self._fresh) + len(self._again)

    def add(self, entries: Sequence[Held]) -> None:
        """Put in what was read next; it waits."""
        for place, held in enumerate(entries, self._next_place):
            held.place = place
        self._next_place += len(entries)
        self._bytes += sum(len(held.entry.envelope) for held in entries)
        self._held += entries
        self._fresh += entries

    def take(self, most: int) -> list[Held]:
        """The first ``most`` that wait, in journal order; they are in flight from now on."""
        # What was taken before lies before everything that never was.
        taken = [heappop(self._again)[1] for _ in range(min(most, len(self._again)))]
        count = min(most - len(taken), len(self._fresh))
        return taken + [self._fresh.popleft() for _ in range(count)]

    def settle(self, taken: Sequence[Held], confirmed: Sequence[bool]) -> None:
        """Note for each entry in flight whether it is confirmed; if not, it waits again."""
        for held, yes in zip(taken, confirmed, strict=True):
            if yes:
                held.confirmed = True
            else:
                heappush(self._again, (held.place, held))

    def prefix(self, most: int) -> list[JournalEntry]:
        """The longest run of confirmed entries from the start, ``most`` of them at the most."""
        entries = []
        for held in islice(self._held, most):
            if not held.confirmed:
                break
            entries.append(held.entry)
        return entries

    def drop(self, count: int) -> None:
        """Let the first ``count`` entries go: they were trimmed."""
        for _ in range(min(count, len(self._held))):
            self._bytes -= len(self._held.popleft().entry.envelope)
