"""How a process starts, waits for its servers, runs its loops and stops.

Loops are supervised: a loop that ends or fails by surprise ends the process, so that a supervisor
restarts it whole, instead of limping on without one duty.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from app.errors import Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_EVERY_S = 1.0
REMIND_EVERY = 30
GARBAGE_THRESHOLDS = (10_000, 20, 50)
"""Python's own (700, 10, 10) have what lives for one batch looked at again and again."""


async def wait_for(what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat ``attempt`` until it answers; says in one sentence what it waits for.

    ``what`` reads like "Redis at redis://127.0.0.1:6379/0".
    """
    tries = 0
    while True:
        try:
            answer = await attempt()
        except Unavailable as error:
            if tries % REMIND_EVERY == 0:
                log.warning("Waiting for %s (%s); trying again every second.", what, error.detail)
            tries += 1
            await asyncio.sleep(RETRY_EVERY_S)
        else:
            if tries:
                log.info("Reached %s.", what)
            return answer


async def run_until_stopped(
    *loops: Coroutine[Any, Any, None], hurry: Callable[[], None] | None = None
) -> None:
    """Run the loops until SIGTERM or SIGINT, or until one of them ends; then cancel the rest.

    ``hurry`` is called at a second signal, while the loops end; without it that one kills.

    Raises whatever ended a loop by surprise.
    """
    # What was imported stays: nothing is gained by looking at it.
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set() and hurry is not None:
            hurry()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    tasks = [
        asyncio.create_task(each, name=getattr(each, "__qualname__", "loop")) for each in loops
    ]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if hurry is None:
            _let_signals_kill(loop)
        ended = [task for task in tasks if task.done()]
        try:
            await cancel(*tasks)
        finally:
            _let_signals_kill(loop)
    for task in ended:
        task.result()


def _let_signals_kill(loop: asyncio.AbstractEventLoop) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are gone; their errors are logged, not raised."""
    for task in tasks:
        task.cancel()
    for task, outcome in zip(
        tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True
    ):
        if isinstance(outcome, Exception):
            log.debug("%s ended with %r", task.get_name(), outcome)


def asked_to_stop() -> bool:
    """Whether somebody cancelled this very task.

    A ``CancelledError`` nobody asked for is a lost connection in disguise
    (aio-pika 10.2.1 raises it from a publish on a dead connection).
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
