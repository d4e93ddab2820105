"""Backoff: how long until the next attempt. Pure."""

import math
from dataclasses import dataclass
from typing import Any

MAX_ATTEMPTS_LIMIT = 100
MAX_DELAY_LIMIT_MS = 366 * 86_400_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after which delays a task is tried.

    ``delays_ms`` set: an explicit list, n delays mean n+1 attempts. Otherwise attempt n is followed
    by ``base_delay_ms * factor**(n-1)``, at most ``max_delay_ms``. ``jitter`` (0 to 1) takes up to
    that share off or adds it.
    """

    max_attempts: int = 8
    base_delay_ms: int = 15_000
    factor: float = 2.0
    max_delay_ms: int = 180_000
    jitter: float = 0.2
    delays_ms: tuple[int, ...] | None = None

    def delay_ms(self, attempt: int, spread: float) -> int:
        """Delay after failed attempt ``attempt`` (from 1).

        ``spread`` is a random number in [-1, 1], given by the caller so that this stays pure.
        """
        if self.delays_ms:
            base: float = self.delays_ms[min(attempt, len(self.delays_ms)) - 1]
        else:
            base = self._grown(attempt)
        return max(0, round(base * (1 + self.jitter * spread)))

    def _grown(self, attempt: int) -> float:
        if self.base_delay_ms <= 0:
            return 0
        # Compare exponents before raising to them: factor**99 may not fit a float.
        if self.factor > 1:
            steps = math.log(max(self.max_delay_ms / self.base_delay_ms, 1), self.factor)
            if attempt - 1 >= steps:
                return self.max_delay_ms
        return float(min(self.base_delay_ms * self.factor ** (attempt - 1), self.max_delay_ms))

    def overridden(self, given: dict[str, Any] | None) -> "RetryPolicy":
        """This policy with the members of an envelope's ``options.retry`` laid over it.

        ``given``: camelCase members as submitted (already validated); members left out keep
        this policy's value.
        """
        if not given:
            return self
        delays = given.get("delaysMs")
        if delays is not None:
            return RetryPolicy(
                max_attempts=len(delays) + 1,
                jitter=given.get("jitter", self.jitter),
                delays_ms=tuple(delays),
            )
        grows = any(name in given for name in ("baseDelayMs", "factor", "maxDelayMs"))
        return RetryPolicy(
            max_attempts=given.get("maxAttempts", self.max_attempts),
            base_delay_ms=given.get("baseDelayMs", self.base_delay_ms),
            factor=given.get("factor", self.factor),
            max_delay_ms=given.get("maxDelayMs", self.max_delay_ms),
            jitter=given.get("jitter", self.jitter),
            delays_ms=None if grows else self.delays_ms,
        )
