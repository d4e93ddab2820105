"""What a drill's picture shows: lines over seconds since its start, faults as bands. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.drill.verdict import Sample

POINTS_MAX: Final = 300
STATES: Final = ("queued", "running", "scheduled", "retrying")
Value = float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A figure over time; ``values[i]`` at second ``seconds[i]``, None where none was had."""

    name: str
    seconds: Sequence[float]
    values: Sequence[Value]

    @property
    def highest(self) -> float:
        """The greatest value; 0 where there is none."""
        return max((each for each in self.values if each is not None), default=0)


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share an axis from 0 on."""

    title: str
    about: str
    lines: Sequence[Line]

    @property
    def top(self) -> int:
        """A round number that no line is above."""
        return round_up(max((line.highest for line in self.lines), default=0))


@dataclass(frozen=True, slots=True)
class Band:
    """A fault, from the second it began to the second it was done."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole picture."""

    seconds: float
    panels: Sequence[Panel]
    bands: Sequence[Band]


def timeline(
    samples: Sequence[Sample],
    accepted_ms: Iterable[int],
    effects_ms: Iterable[int],
    faults: Sequence[Mapping[str, Any]],
) -> Timeline:
    """The picture of a drill.

    Times are milliseconds UTC; ``faults`` are those of the drill's document.
    """
    accepted, effects = sorted(accepted_ms), sorted(effects_ms)
    known = [each.at_ms for each in samples] + accepted[:1] + effects[:1]
    start = min(known, default=0)
    ends = known + accepted[-1:] + effects[-1:] + [each["doneAt"] for each in faults]
    end = max(ends, default=0)
    at = [(each.at_ms - start) / 1000 for each in samples]
    states = [
        _thin(Line(state, at, [each.depth[state] if each.depth else None for each in samples]))
        for state in STATES
    ]
    panels = (
        Panel(
            "Throughput",
            "tasks a second, by the producers' and the receiver's own books",
            [_rate("accepted", accepted, start, end), _rate("executed", effects, start, end)],
        ),
        Panel("Queue depth", "tasks in Redis by state", states),
        Panel(
            "Journal",
            "tasks that RabbitMQ has not confirmed yet",
            [_thin(Line("unmirrored", at, [each.journal for each in samples]))],
        ),
        Panel(
            "RabbitMQ depth",
            "copies in the mirror queue, ready and unacked",
            [_thin(Line("copies", at, [each.copies for each in samples]))],
        ),
    )
    bands = [
        Band(each["name"], (each["at"] - start) / 1000, (each["doneAt"] - start) / 1000)
        for each in faults
    ]
    return Timeline(max((end - start) / 1000, 1.0), panels, bands)


def round_up(value: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50 and so on; 10 at least."""
    power = 10
    while True:
        for factor in (1, 2, 5):
            if value <= factor * power:
                return factor * power
        power *= 10


def _rate(name: str, times_ms: Sequence[int], start_ms: int, end_ms: int) -> Line:
    """Events a second, over steps wide enough that the line has no more points than are seen."""
    seconds = (end_ms - start_ms) // 1000 + 1
    step = -(-seconds // POINTS_MAX)
    counts = Counter((each - start_ms) // 1000 // step for each in times_ms)
    steps = range(-(-seconds // step))
    last = (end_ms - start_ms) / 1000
    at = [min((i + 0.5) * step, last) for i in steps]
    # The last step may be cut short by the end.
    return Line(name, at, [counts[i] / min(step, seconds - i * step) for i in steps])


def _thin(line: Line) -> Line:
    """At most so many points as are seen: of each group the greatest."""
    size = -(-len(line.values) // POINTS_MAX) or 1
    groups = [line.values[i : i + size] for i in range(0, len(line.values), size)]
    known = [[each for each in group if each is not None] for group in groups]
    # One reading that failed must be seen in a short drill, and one of many need not in a long one.
    return Line(line.name, line.seconds[::size], [max(group, default=None) for group in known])
