"""Which runs have a copy: eight bytes each, so that millions of them fit. No I/O."""

import hashlib
from array import array
from bisect import bisect_left
from itertools import pairwise

from app.names import TaskKey


def number_of(key: TaskKey, run: int) -> int:
    """64 bits that stand for one run of one task."""
    digest = hashlib.blake2b(f"{key.full}/{run}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


class CopyIndex:
    """Filled with ``add``, closed with ``close``, then asked.

    Among a million runs the chance that any two share a number is one in 37 million; one would then
    hide that the other has no copy.
    """

    def __init__(self) -> None:
        self._numbers = array("Q")
        self.repeated: frozenset[int] = frozenset()
        """Numbers that came more than once (after ``close``)."""

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, key: TaskKey, run: int) -> None:
        """A copy is there."""
        self._numbers.append(number_of(key, run))

    def close(self) -> None:
        """All are there."""
        numbers = self._numbers = array("Q", sorted(self._numbers))
        self.repeated = frozenset(one for one, other in pairwise(numbers) if one == other)

    def has(self, key: TaskKey, run: int) -> bool:
        """Whether this run has a copy."""
        number = number_of(key, run)
        place = bisect_left(self._numbers, number)
        return place < len(self._numbers) and self._numbers[place] == number
