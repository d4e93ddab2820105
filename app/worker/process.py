"""The worker's process: waits for its stores, works, answers for its health."""

from typing import Final
from urllib.parse import urlsplit

from app.broker.connection import RedisConnection
from app.handlers.http_deliver import builtin_tasks
from app.health import serve_health
from app.ledger.opening import ledger_of
from app.lifecycle import run_until_stopped, wait_for
from app.metrics import Metrics
from app.registry import TaskRegistry
from app.settings import Settings
from app.worker.lifespans import opened
from app.worker.loading import load_registry
from app.worker.worker import Worker

REDIS_PORT: Final = 6379


def registry_of(app: str | None) -> TaskRegistry:
    """The registry that ``--app`` names; without it an empty one.

    The built-in types come on top of it when the worker runs.

    Raises:
        SettingsError: it cannot be loaded; says why.
    """
    return load_registry(app) if app else TaskRegistry()


async def run_worker(
    settings: Settings,
    registry: TaskRegistry,
    *,
    queue: str | None = None,
    tenant: str | None = None,
) -> None:
    """Work until SIGTERM or SIGINT; then end what runs, and give back the rest.

    ``registry``: handlers beside the built-in ones. ``queue`` and ``tenant`` limit what is worked
    on.

    Raises:
        Fatal: the process must not go on; the sentence says why.
        SettingsError: no ledger is named, a type is registered twice, or the port is taken.
    """
    redis = RedisConnection.from_settings(settings)
    ledger = ledger_of(settings)
    metrics = Metrics()
    working: list[Worker] = []
    try:
        async with builtin_tasks(settings.deliver_allow) as builtins:
            known = registry.including(builtins)

            async def work() -> None:
                async with opened(known) as states:
                    worker = Worker(redis, ledger, known, settings, metrics, states)
                    working.append(worker)
                    await wait_for(f"Redis at {_place(settings.redis_url)}", redis.ping)
                    await wait_for("the ledger", ledger.open)
                    await worker.run(queue=queue, tenant=tenant)

            async def spool() -> None:
                for worker in working:
                    await worker.spooling.check()

            def hurry() -> None:
                for worker in working:
                    worker.hurry()

            await run_until_stopped(
                serve_health(
                    settings.http_host,
                    settings.worker_port,
                    checks={"redis": redis.ping, "ledger": ledger.ping, "spool": spool},
                    metrics=metrics,
                    live=lambda: all(worker.is_live for worker in working),
                    patient="worker_port" not in settings.model_fields_set,
                ),
                work(),
                hurry=hurry,
            )
    finally:
        await redis.close()
        await ledger.close()


def _place(url: str) -> str:
    """Host and port of a URL: what else is in it may be secret."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or REDIS_PORT}"
