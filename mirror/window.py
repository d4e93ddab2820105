"""The window: what was read from the journal and is not trimmed yet. Pure.

A window belongs to one history of one journal; it is dropped whole with what it was learnt under
(rule 1), so an answer that comes late settles a window nobody looks at any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice, takewhile
from typing import Final

from app.broker.journal import JournalEntry
from app.envelope import Envelope

WINDOW_BYTES: Final = 64 << 20
"""A window is full with so many bytes of envelopes, however few they are."""


@dataclass(slots=True, eq=False)
class Held:
    """One journal entry in the window; ``envelope`` is what it says, or why it says nothing."""

    entry: JournalEntry
    envelope: Envelope | Exception
    place: int = 0
    confirmed: bool = False


class Window:
    """Entries in journal order, each waiting to be published, in flight, or confirmed."""

    def __init__(self, size: int) -> None:
        """``size``: entries held at the most."""
        self._size = size
        self._bytes = 0
        self._held: dict[int, Held] = {}
        self._waiting: list[int] = []
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
        return len(self._waiting)

    def add(self, entries: Sequence[Held]) -> None:
        """Put in what was read next; it waits."""
        for held in entries:
            held.place = self._next_place
            self._held[held.place] = held
            # The greatest place so far may be put last: the heap stays one.
            self._waiting.append(held.place)
            self._next_place += 1
            self._bytes += len(held.entry.envelope)

    def take(self, most: int) -> list[Held]:
        """The first ``most`` that wait, in journal order; they are in flight from now on."""
        count = min(most, len(self._waiting))
        return [self._held[heappop(self._waiting)] for _ in range(count)]

    def settle(self, taken: Sequence[Held], confirmed: Sequence[bool]) -> None:
        """Note for each entry in flight whether it is confirmed; if not, it waits again."""
        for held, yes in zip(taken, confirmed, strict=True):
            if yes:
                held.confirmed = True
            else:
                heappush(self._waiting, held.place)

    def prefix(self, most: int) -> list[JournalEntry]:
        """The longest run of confirmed entries from the start, ``most`` of them at the most."""
        run = takewhile(lambda held: held.confirmed, self._held.values())
        return [held.entry for held in islice(run, most)]

    def drop(self, count: int) -> None:
        """Let the first ``count`` entries go: they were trimmed."""
        for place in list(islice(self._held, count)):
            self._bytes -= len(self._held.pop(place).entry.envelope)
