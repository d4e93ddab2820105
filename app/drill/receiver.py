"""``python -m app.drill.receiver``: the world outside, which notes each arrival in its own file.

An arrival answered 2xx is an effect. Query: ``fail=N`` answers 503 to the first N arrivals of a
task, ``slow_ms=M`` takes so long. Nothing of Lifeboat is imported here.
"""

import argparse
import asyncio
import hashlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from aiohttp import web

OK, NOT_NOW = 200, 503
BACKLOG = 4_096
BODY_BYTES_MAX = 1 << 24


class Receiver:
    """Counts arrivals by task and appends each to ``file``."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._arrivals: Counter[str] = Counter()

    async def take(self, request: web.Request) -> web.Response:
        """One arrival."""
        began = _now_ms()
        body = await request.read()
        task = request.headers.get("Idempotency-Key", "")
        self._arrivals[task] += 1
        slow_ms = int(request.query.get("slow_ms", "0"))
        if slow_ms:
            await asyncio.sleep(slow_ms / 1000)
        status = NOT_NOW if self._arrivals[task] <= int(request.query.get("fail", "0")) else OK
        self._note(
            {
                "task": task,
                "run": int(request.headers.get("X-Lifeboat-Run", "0")),
                "attempt": int(request.headers.get("X-Lifeboat-Attempt", "0")),
                "status": status,
                "digest": digest_of(body),
                "began": began,
                "at": _now_ms(),
            }
        )
        return web.Response(status=status, text="taken" if status == OK else "not now")

    async def ready(self, _request: web.Request) -> web.Response:
        """Sign of life."""
        return web.Response(text="ok")

    def _note(self, arrival: dict[str, Any]) -> None:
        self._file.write(json.dumps(arrival) + "\n")
        self._file.flush()


def digest_of(body: bytes) -> str:
    """Of a JSON document, however it is written; ``unreadable`` of anything else."""
    try:
        said = json.dumps(json.loads(body), sort_keys=True)
    except ValueError:
        return "unreadable"
    return hashlib.sha256(said.encode()).hexdigest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def serve(port: int, path: Path) -> None:
    """Until killed."""
    with path.open("a", encoding="utf-8", buffering=1 << 16) as file:
        receiver = Receiver(file)
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_get("/ready", receiver.ready)
        application.router.add_route("*", "/hook", receiver.take)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG).start()
        await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.file))


if __name__ == "__main__":
    main()
