"""What is in hand of one mirror queue: copies to be looked at, copies held, suspects. No I/O.

A copy that was looked at and is held keeps its names and its tag, not its bytes: 20,000 held copies
must not cost 20,000 bodies.
"""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.amqp.message import Copy
from app.envelope import Envelope
from app.names import TaskKey
from rehydrator.redis_queue import RedisQueue
from rehydrator.source import Delivery, Lane

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Held:
    """One copy in hand.

    ``delivery`` and ``envelope`` are there until it was looked at. ``since_s`` is monotonic.
    ``awaited`` is the journal id whose confirm lets this copy go (rule 6), asked for at
    ``awaited_since_s``.
    """

    lane: Lane
    tag: int
    queue: RedisQueue
    key: TaskKey
    run: int
    request_digest: str
    generation: str
    journal_id: str
    since_s: float
    delivery: Delivery | None
    envelope: Envelope | None
    awaited: str | None = None
    awaited_since_s: float = 0.0

    @property
    def task_id(self) -> str:
        """The task's own part of its full name, ``key``."""
        return self.key.task_id


def held(delivery: Delivery, copy: Copy, queue: RedisQueue, now_s: float) -> Held:
    """A copy that has just arrived."""
    envelope, origin = copy
    # In their order: by name they cost twice as much.
    return Held(
        delivery.lane,
        delivery.tag,
        queue,
        queue.key(envelope.task_id),
        envelope.run,
        envelope.request_digest,
        sys.intern(origin.generation),
        origin.journal_id,
        now_s,
        delivery,
        envelope,
    )


@dataclass(slots=True, eq=False)
class Suspect:
    """A message bound for the quarantine; the names are what is known or claimed of it."""

    delivery: Delivery
    reason: str
    detail: str
    tenant: str
    queue: str
    task_id: str


class Holdings:
    """The copies in hand, oldest first.

    ``once``: what was looked at is not looked at again; its tag, which the source knows, is all
    that is left of it.
    """

    def __init__(self, *, once: bool = False) -> None:
        self._once = once
        self._new: dict[Held, None] = {}
        self._held: dict[Held, None] = {}
        self._suspects: dict[Suspect, None] = {}

    @property
    def new(self) -> list[Held]:
        """Those nobody has looked at to the end."""
        return list(self._new)

    @property
    def held(self) -> list[Held]:
        """Those looked at, to be looked at again."""
        return list(self._held)

    @property
    def suspects(self) -> list[Suspect]:
        """Those that are not yet in the quarantine."""
        return list(self._suspects)

    @property
    def settled(self) -> bool:
        """Whether everything in hand was looked at to the end."""
        return not self._new and not self._suspects

    def add(self, copy: Held) -> None:
        """A copy has arrived."""
        self._new[copy] = None

    def keep(self, copies: Iterable[Held]) -> None:
        """These were looked at: what they carry is not needed any more."""
        for copy in copies:
            if copy in self._new:
                del self._new[copy]
                copy.delivery = copy.envelope = None
                if not self._once:
                    self._held[copy] = None

    def suspect(self, suspect: Suspect, copy: Held | None = None) -> None:
        """A message must go to the quarantine; ``copy``: as which it was held."""
        if copy is not None:
            self.drop([copy])
        self._suspects[suspect] = None

    def drop(self, gone: Collection[Held | Suspect]) -> None:
        """These have left."""
        for each in gone:
            if isinstance(each, Suspect):
                self._suspects.pop(each, None)
            else:
                self._new.pop(each, None)
                self._held.pop(each, None)


def by_queue(copies: Iterable[Held]) -> dict[RedisQueue, list[Held]]:
    """Copies grouped by their queue in Redis, in their order."""
    groups: dict[RedisQueue, list[Held]] = {}
    for copy in copies:
        groups.setdefault(copy.queue, []).append(copy)
    return groups


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in slices of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
