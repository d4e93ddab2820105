"""Watching a system in the foreground: a process that ends by surprise is told and started anew."""

import asyncio
import signal
from collections.abc import Callable

from app.stack.process import StackError
from app.stack.system import System

LOOK_EVERY_S = 1.0


async def watch(system: System, say: Callable[[str], None]) -> None:
    """Until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        for service in system.services.values():
            if not service.process.running:
                say(f"{service.name} ended: {service.process.tail().strip()[-300:]}")
                try:
                    await service.start()
                except StackError as error:
                    say(str(error))
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await stop.wait()
        except TimeoutError:
            continue
