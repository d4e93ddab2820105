"""``submit-http``: ``POST /v1/tasks`` at durability fast, beside a route that does nothing."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.bench.ground import Ground
from app.bench.http_client import post, requests_per_second
from app.bench.material import submit_bytes
from app.bench.measure import Bench, Sides
from app.bench.noop_api import ACCEPTED, PATH
from app.stack.process import ChildProcess, StackError, free_port, is_free, until

REQUESTS: Final = 500
READY_WITHIN_MS: Final = 60_000


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Sides]:
    ports = free_port(), free_port()
    requests = [post(PATH, submit_bytes(number)) for number in range(REQUESTS)]
    async with ground.place(http_port=ports[0]) as place:
        noop = ChildProcess(
            "noop-api",
            [sys.executable, "-m", "app.bench.noop_api", str(ports[1])],
            log=place.folder / "noop-api.log",
        )
        api = place.process("serve")

        async def ours(seconds: float) -> float:
            # What earlier rounds submitted must not weigh on this one.
            await place.redis.redis.flushall()
            return await requests_per_second(ports[0], requests, status=ACCEPTED, seconds=seconds)

        async def reference(seconds: float) -> float:
            return await requests_per_second(ports[1], requests, status=ACCEPTED, seconds=seconds)

        try:
            for process, port in ((api, ports[0]), (noop, ports[1])):
                process.start()
                await _until_listening(process, port)
            yield Sides(ours, reference)
        finally:
            await api.stop()
            await noop.stop()


async def _until_listening(process: ChildProcess, port: int) -> None:
    def listening() -> bool:
        if not process.running:
            raise StackError(f"{process.name} ended. Its log ends: {process.tail()}")
        return not is_free(port)

    try:
        await until(listening, READY_WITHIN_MS, f"{process.name} to listen")
    except TimeoutError as error:
        raise StackError(f"{error} Its log ends: {process.tail()}") from error


BENCH: Final = Bench("submit-http", "a FastAPI no-op route with the same models", _open, "req/s")
