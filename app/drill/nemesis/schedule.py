"""When which fault comes: data that a seed makes. Pure."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

AT_MOST: Final = 2
"""Faults at once."""
FIRST_AFTER_MS: Final = 2_000
PAUSES_MS: Final = (500, 5_000)
"""Between the beginnings of two faults."""
CALM_MS: Final = 5_000
"""Without a fault, before one that must be alone."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a kind of fault leaves to the seed."""

    kind: str
    targets: Sequence[str]
    """Servers, processes, or lines between them."""
    lasts_ms: tuple[int, int]
    variants: Sequence[str] = ("",)
    alone: bool = False
    """Whether it takes what another fault might leave as the only copy."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One fault: of what, on what, from when on and how long."""

    kind: str
    target: str
    variant: str
    at_ms: int
    """Since the beginning."""
    for_ms: int
    alone: bool = False

    @property
    def until_ms(self) -> int:
        """When it is to be over."""
        return self.at_ms + self.for_ms

    @property
    def name(self) -> str:
        """In words."""
        variant = f" ({self.variant})" if self.variant else ""
        return f"{self.target} {self.kind}{variant}, {self.for_ms / 1000:.1f} s"


def clash(stroke: Stroke, other: Stroke) -> bool:
    """Whether the two must not be at once."""
    return stroke.alone or other.alone or stroke.target == other.target


def may_begin(stroke: Stroke, active: Iterable[Stroke], at_most: int = AT_MOST) -> bool:
    """Whether it may come beside those that have not ended."""
    others = list(active)
    return len(others) < at_most and not any(clash(stroke, each) for each in others)


def schedule(
    seed: int, lasts_ms: int, choices: Sequence[Choice], at_most: int = AT_MOST
) -> list[Stroke]:
    """Faults for so long; the same for the same seed.

    Every kind comes once before one comes again, and as many beginnings as fit.
    """
    chance = random.Random(seed)
    strokes: list[Stroke] = []
    waiting: list[Choice] = []
    at_ms = FIRST_AFTER_MS
    while at_ms < lasts_ms:
        if not waiting:
            waiting = list(choices)
            chance.shuffle(waiting)
        stroke = _stroke(chance, waiting.pop(), at_ms)
        begins_ms = _earliest(stroke, strokes, at_most)
        if begins_ms >= lasts_ms:
            break
        strokes.append(_at(stroke, begins_ms))
        at_ms = begins_ms + chance.randint(*PAUSES_MS)
    return strokes


def _stroke(chance: random.Random, choice: Choice, at_ms: int) -> Stroke:
    return Stroke(
        choice.kind,
        chance.choice(choice.targets),
        chance.choice(choice.variants),
        at_ms,
        chance.randint(*choice.lasts_ms),
        choice.alone,
    )


def _earliest(stroke: Stroke, before: Sequence[Stroke], at_most: int) -> int:
    """The first moment from its own on at which it may begin."""
    calm_ms = CALM_MS if stroke.alone else 0
    at_ms = stroke.at_ms
    while True:
        active = [each for each in before if each.until_ms + calm_ms > at_ms]
        if may_begin(stroke, active, at_most):
            return at_ms
        at_ms = min(each.until_ms + calm_ms for each in active)


def _at(stroke: Stroke, at_ms: int) -> Stroke:
    return Stroke(stroke.kind, stroke.target, stroke.variant, at_ms, stroke.for_ms, stroke.alone)
