"""``/livez``, ``/readyz`` and ``/metrics`` of the processes that have no API.

Live: the process's loops run. Ready: the stores it needs answer.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from app.errors import SettingsError, Unavailable
from app.metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)

CHECK_WITHIN_S: Final = 2.0
AGAIN_S: Final = 1.0
"""Between two tries to get a port that is taken."""
OK: Final = "ok"
PROCESS_HEADER: Final = "X-Lifeboat-Pid"
"""In an answer of ``/readyz``: the id of the process that gave it."""

Check = Callable[[], Awaitable[None]]


async def run_checks(checks: Mapping[str, Check]) -> dict[str, str]:
    """Each check's word: ``ok``, or why not. A check raises ``Unavailable`` to say no."""
    answers = await asyncio.gather(*(_word(check) for check in checks.values()))
    return dict(zip(checks, answers, strict=True))


async def _word(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            await check()
    except Unavailable as error:
        return error.detail or "unavailable"
    except TimeoutError:
        return "no answer in time"
    return OK


async def serve_health(
    host: str,
    port: int,
    *,
    checks: Mapping[str, Check],
    metrics: Metrics,
    live: Callable[[], bool] = lambda: True,
    patient: bool = False,
) -> None:
    """Serve until cancelled; port 0 serves nothing.

    ``patient``: where somebody else has the port, say so and serve once it is free. For the usual
    port, which nobody has named: a second process on a machine works all the same.

    Raises:
        SettingsError: somebody else has the port.
    """
    if not port:
        await asyncio.Event().wait()

    async def livez(_request: web.Request) -> web.Response:
        alive = live()
        return _json({"status": OK if alive else "stuck"}, 200 if alive else 503)

    async def readyz(_request: web.Request) -> web.Response:
        words = await run_checks(checks)
        ready = all(word == OK for word in words.values())
        return _json(
            {"status": OK if ready else "degraded", "checks": words}, 200 if ready else 503
        )

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposition)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, host, port, patient=patient)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int, *, patient: bool) -> None:
    tries = 0
    while True:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            taken = f"The health port {host}:{port} is taken ({error.strerror})"
            if not patient or error.errno != errno.EADDRINUSE:
                raise SettingsError(f"{taken}; set another or 0 (none).") from error
            if not tries:
                log.warning("%s: no metrics until it is free. Set another, or 0 for none.", taken)
            tries += 1
            await site.stop()
            await asyncio.sleep(AGAIN_S)
        else:
            return


def who_answers() -> dict[str, str]:
    """The header by which one who has started this process knows it from another on its port."""
    return {PROCESS_HEADER: str(os.getpid())}


def _json(document: dict[str, Any], status: int) -> web.Response:
    body = orjson.dumps(document)
    return web.Response(
        body=body, status=status, content_type="application/json", headers=who_answers()
    )
