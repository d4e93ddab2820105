"""A worker inside a user's own program, as in the lifespan of a FastAPI application.

It handles no signals and opens no port: both are the program's own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.broker.connection import RedisConnection
from app.handlers.http_deliver import builtin_tasks
from app.ledger.opening import ledger_of
from app.lifecycle import cancel, wait_for
from app.metrics import Metrics
from app.registry import TaskRegistry
from app.settings import Settings
from app.worker.lifespans import opened
from app.worker.worker import Worker

log = logging.getLogger(__name__)


@asynccontextmanager
async def embedded_worker(
    settings: Settings,
    registry: TaskRegistry,
    *,
    queue: str | None = None,
    tenant: str | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Worker]:
    """A worker that runs as long as the body does, beside the built-in types those of ``registry``.

    It waits for its stores in the background. When the body ends it stops in peace: running tasks
    get ``LIFEBOAT_GRACE_MS``, the rest is given back. ``queue`` and ``tenant`` limit what is worked
    on.

    Raises:
        LifespanFailed: what the handlers need could not be opened.
        SettingsError: no ledger is named, or a type is registered twice.
        Fatal: at the end of the body; the worker had stopped with this sentence.
    """
    redis = RedisConnection.from_settings(settings)
    ledger = ledger_of(settings)
    try:
        async with builtin_tasks(settings.deliver_allow) as builtins:
            known = registry.including(builtins)
            async with opened(known) as states:
                worker = Worker(redis, ledger, known, settings, metrics or Metrics(), states)

                async def work() -> None:
                    await wait_for("Redis", redis.ping)
                    await wait_for("the ledger", ledger.open)
                    await worker.run(queue=queue, tenant=tenant)

                task = asyncio.create_task(work(), name="worker")
                task.add_done_callback(_tell)
                try:
                    yield worker
                finally:
                    failed = task.done() and not task.cancelled()
                    await cancel(task)
                if failed:
                    task.result()
    finally:
        await redis.close()
        await ledger.close()


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("The worker has stopped: %s", error)
