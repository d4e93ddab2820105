"""What may become of a call to a store, for each process: the nasty half of the fakes.

A call is answered; or done and its reply lost; or not done; or done later, when its caller has long
given up; or it waits, and meanwhile anything may happen. A paused process makes no call until it
wakes, a dead one never again, and what either had under way may still arrive.
"""

import asyncio
from collections import deque
from contextvars import ContextVar

from app.errors import LifeboatError, Unavailable

PROCESS = ContextVar("process")


class Waiting:
    """A call on its way; ``fate`` is told by whoever resolves it."""

    def __init__(self, who, store, name, apply):
        self.who = who
        self.store = store
        self.name = name
        self.apply = apply
        self.fate = asyncio.get_running_loop().create_future()

    def __repr__(self):
        return f"{self.who}: {self.store}.{self.name}"


class Fates:
    """Shared by all processes: the fates of the next calls, and what is under way.

    ``plan`` holds those of the calls of one step; beyond it stores answer, but for those ``away``.
    """

    def __init__(self):
        self.plan = deque()
        self.publish_plan = []
        self.away = set()
        self.waiting = []
        self.late = []
        self.acks_are_lost = False
        self.closed = False

    def next(self, store):
        if self.plan:
            return self.plan.popleft()
        return "fail" if store in self.away else "answer"

    def arrive_late(self, index):
        _applied(self.late.pop(index % len(self.late)))


class Faults:
    """The calls of one process."""

    def __init__(self, fates, who):
        self.who = who
        self._fates = fates
        self._gate = None
        self.is_dead = False

    @property
    def is_paused(self):
        return self._gate is not None and not self.is_dead

    @property
    def acks_are_lost(self):
        return self._fates.acks_are_lost

    def publish_fates(self):
        fates, self._fates.publish_plan = self._fates.publish_plan, []
        return fates

    def pause(self, loop):
        self._gate = self._gate or loop.create_future()

    def wake(self):
        gate, self._gate = self._gate, None
        if gate is not None and not self.is_dead:
            gate.set_result(None)

    def die(self, loop):
        """What it had under way may still arrive; it never hears of it."""
        self.pause(loop)
        self.is_dead = True
        for call in [each for each in self._fates.waiting if each.who == self.who]:
            self._fates.waiting.remove(call)
            self._fates.late.append(call.apply)

    async def call(self, store, name, apply):
        if self._fates.closed:
            raise asyncio.CancelledError
        while self._gate is not None:
            await asyncio.shield(self._gate)
        fate = self._fates.next(store)
        if fate == "hold":
            fate = await self._wait(store, name, apply)
        if fate == "answer":
            result = apply()
            await asyncio.sleep(0)
            while self._gate is not None:
                await asyncio.shield(self._gate)
            return result
        if fate == "lose":
            _applied(apply)
        elif fate == "late":
            self._fates.late.append(apply)
        await asyncio.sleep(0)
        raise Unavailable(store, f"the reply to {name} was lost")

    async def _wait(self, store, name, apply):
        call = Waiting(self.who, store, name, apply)
        self._fates.waiting.append(call)
        try:
            return await call.fate
        except asyncio.CancelledError:
            if call in self._fates.waiting:
                self._fates.waiting.remove(call)
                self._fates.late.append(apply)
            raise


def _applied(apply):
    try:
        apply()
    except LifeboatError:
        return
