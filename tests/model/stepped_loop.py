"""An event loop that takes no time of its own: it runs what is ready and moves its clock when told.

Real: asyncio's tasks, futures, timeouts and locks. Modelled: time, which only ``advance`` moves;
there are no sockets and no threads. ``Clock`` stands in for the module ``time`` where the code
under test reads it.
"""

import asyncio
from collections import deque
from contextvars import copy_context
from heapq import heappop, heappush

TURNS_MAX = 200_000
CANCELS_MAX = 10


class Handle:
    """What ``call_soon`` and ``call_at`` give back; asyncio's own takes as long as the call."""

    __slots__ = ("arguments", "callback", "context", "is_cancelled", "when_s")

    def __init__(self, callback, arguments, context, when_s=None):
        self.callback = callback
        self.arguments = arguments
        self.context = context or copy_context()
        self.when_s = when_s
        self.is_cancelled = False

    def cancel(self):
        self.is_cancelled = True

    def cancelled(self):
        return self.is_cancelled

    def when(self):
        return self.when_s


class SteppedLoop(asyncio.AbstractEventLoop):
    """``errors`` are what tasks died of with nobody to see it."""

    def __init__(self, began_s=1_000.0):
        self.now_s = began_s
        self.errors = []
        self._ready = deque()
        self._timers = []
        self._numbers = 0
        self._tasks = set()

    def time(self):
        return self.now_s

    def call_soon(self, callback, *args, context=None):
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = Handle(callback, args, context, when)
        self._numbers += 1
        heappush(self._timers, (when, self._numbers, handle))
        return handle

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        # The collector must not end what nobody waits for any more: its process is dead.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def get_debug(self):
        return False

    def is_running(self):
        return True

    def is_closed(self):
        return False

    def call_exception_handler(self, context):
        self.errors.append(context.get("exception") or context["message"])

    def run_ready(self):
        """Run until nothing is ready."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            turns = 0
            while self._ready:
                turns += 1
                assert turns < TURNS_MAX, "the code under test never comes to rest"
                handle = self._ready.popleft()
                if not handle.is_cancelled:
                    handle.context.run(handle.callback, *handle.arguments)
        finally:
            asyncio._set_running_loop(before)

    def close(self):
        """End every task; nobody looks at how."""
        for _ in range(CANCELS_MAX):
            if not self._tasks:
                break
            for task in tuple(self._tasks):
                task.cancel()
            self.run_ready()
        self._timers.clear()

    def call(self, function, *args, **kwargs):
        """A plain call from inside the loop."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            return function(*args, **kwargs)
        finally:
            asyncio._set_running_loop(before)

    def advance(self, seconds):
        """Let time pass: timers fire in their order, each with what follows from it."""
        until = self.now_s + seconds
        self.run_ready()
        while self._timers and self._timers[0][0] <= until:
            when, _, handle = heappop(self._timers)
            if not handle.is_cancelled:
                self.now_s = max(self.now_s, when)
                self._ready.append(handle)
                self.run_ready()
        self.now_s = until


class Clock:
    """The module ``time`` as the code under test sees it; ``loop`` is the world's."""

    def __init__(self):
        self.loop = None

    def monotonic(self):
        return self.loop.now_s

    def monotonic_ns(self):
        return round(self.loop.now_s * 1_000) * 1_000_000

    time = monotonic
    time_ns = monotonic_ns
