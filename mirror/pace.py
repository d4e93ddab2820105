"""How much to read at a time, and how long to wait after a failure. Pure."""

from collections.abc import Sequence
from typing import Final

from app.broker.journal import JournalEntry
from app.retry import RetryPolicy

READ_BYTES: Final = 4 << 20
"""What one answer of Redis should hold: it must come within the socket's timeout."""
READ_FIRST: Final = 64
READ_MOST: Final = 500

BACKOFF: Final = RetryPolicy(base_delay_ms=100, factor=2.0, max_delay_ms=5_000, jitter=0.2)


class ReadSize:
    """How many journal entries the next read asks for: few where envelopes are large."""

    def __init__(self) -> None:
        self.count = READ_FIRST

    def seen(self, entries: Sequence[JournalEntry]) -> None:
        """Learn from a read; grows by doubling, shrinks at once."""
        if not entries:
            return
        average = max(1, sum(len(entry.envelope) for entry in entries) // len(entries))
        self.count = max(1, min(READ_MOST, self.count * 2, READ_BYTES // average))

    def failed(self) -> None:
        """A read brought nothing in time: maybe it asked for too much."""
        self.count = max(1, self.count // 4)


class Backoff:
    """Waits that grow while publishes fail; one step for all failures within one wait."""

    def __init__(self) -> None:
        self._failures = 0
        self._until_ms = 0

    def failed(self, now_ms: int, spread: float) -> None:
        """Something was not confirmed; ``spread`` is a random number in [-1, 1]."""
        if now_ms >= self._until_ms:
            self._failures += 1
            self._until_ms = now_ms + BACKOFF.delay_ms(self._failures, spread)

    def succeeded(self) -> None:
        """A batch was confirmed whole."""
        self._failures = 0

    def remaining_ms(self, now_ms: int) -> int:
        """How long to wait before the next publish, 0 = not at all."""
        return max(0, self._until_ms - now_ms)
