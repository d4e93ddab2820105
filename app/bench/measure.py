"""How a bench is measured: ours and its reference in turns, the median of the rounds of each.

The speed of a machine moves while one measures; what is measured side by side moves together.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from app.bench.ground import Ground

ROUNDS: Final = 3
WARM_UP_S_MAX: Final = 0.5

Measure = Callable[[float], Awaitable[float]]
"""Works for about so many seconds; how much was done per second."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The two things to compare."""

    ours: Measure
    reference: Measure


@dataclass(frozen=True, slots=True)
class Bench:
    """One comparison. ``open`` prepares both sides and cleans up after them."""

    name: str
    reference_name: str
    open: Callable[[Ground], AbstractAsyncContextManager[Sides]]
    unit: str = "tasks/s"


@dataclass(frozen=True, slots=True)
class Row:
    """What one bench found; ``rate`` and ``reference`` in ``unit``."""

    name: str
    rate: float
    reference: float
    reference_name: str
    unit: str

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "name": self.name,
            "rate": round(self.rate, 1),
            "reference": round(self.reference, 1),
            "referenceName": self.reference_name,
            "ratio": round(self.rate / self.reference, 3),
            "unit": self.unit,
        }


async def compare(bench: Bench, sides: Sides, seconds: float, say: Callable[[str], None]) -> Row:
    """Warm both sides up, then measure them in turns."""
    for warm_up in (sides.ours, sides.reference):
        await warm_up(min(seconds, WARM_UP_S_MAX))
    ours, reference = [], []
    for number in range(1, ROUNDS + 1):
        ours.append(await sides.ours(seconds))
        reference.append(await sides.reference(seconds))
        say(
            f"{bench.name}: round {number} of {ROUNDS}: {ours[-1]:,.0f} {bench.unit},"
            f" reference {reference[-1]:,.0f}"
        )
    return Row(bench.name, median(ours), median(reference), bench.reference_name, bench.unit)


class Amount:
    """How many tasks keep a side busy for the asked time, going by the rate seen last."""

    def __init__(self, rate: float, *, least: int = 200, most: int = 150_000) -> None:
        """``rate`` per second is what to expect of the first time."""
        self._rate = rate
        self._least = least
        self._most = most

    def for_seconds(self, seconds: float) -> int:
        """A number of tasks."""
        return max(self._least, min(self._most, round(self._rate * seconds)))

    def saw(self, rate: float) -> float:
        """Remember a measured rate, and give it back."""
        self._rate = rate
        return rate
