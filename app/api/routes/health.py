"""``/livez``, ``/readyz`` and ``/metrics`` of the API.

Ready means that a submit would be accepted: Redis takes writes, or RabbitMQ stands in for it.
"""

from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.health import OK, run_checks, who_answers
from app.metrics import CONTENT_TYPE, Metrics
from app.task_queue.fallback import NOT_CONFIGURED
from app.task_queue.task_queue import TaskQueue


def add_routes(application: FastAPI, task_queue: TaskQueue, metrics: Metrics) -> None:
    """Put the endpoints in their places."""

    async def livez() -> Response:
        """The process answers."""
        return json_answer({"status": OK})

    async def readyz() -> Response:
        """Whether a submit would be accepted."""
        words = await run_checks(task_queue.checks())
        healthy = all(word in (OK, NOT_CONFIGURED) for word in words.values())
        stands_in = words["rabbitmq"] == OK and not task_queue.needs_redis
        status = 200 if words["redis"] == OK or stands_in else 503
        document = {"status": OK if healthy else "degraded", "checks": words}
        return json_answer(document, status, headers=who_answers())

    async def exposition() -> Response:
        """Prometheus metrics."""
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    ready: dict[int | str, dict[str, Any]] = {
        200: {"model": schemas.Health},
        503: {"model": schemas.Health, "description": "Not ready."},
    }
    add = partial(application.router.add_api_route, methods=["GET"], response_model=None)
    add("/livez", livez)
    add("/readyz", readyz, responses=ready)
    for path, answer in (("/livez", livez), ("/readyz", readyz)):
        # Load balancers ask without wanting the body.
        application.router.add_api_route(
            path, answer, methods=["HEAD"], response_model=None, include_in_schema=False
        )
    add("/metrics", exposition)
