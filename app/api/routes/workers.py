"""``/v1/workers``: which workers live."""

from fastapi import FastAPI
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.deadline import within
from app.task_queue.task_queue import TaskQueue


def add_routes(application: FastAPI, task_queue: TaskQueue, within_s: float) -> None:
    """Put the endpoint in its place."""

    async def workers() -> Response:
        """Every worker that works for the tenant."""
        async with within(within_s):
            return json_answer({"items": await task_queue.workers(), "cursor": None})

    application.router.add_api_route(
        "/v1/workers",
        workers,
        methods=["GET"],
        responses={200: {"model": schemas.Workers}, **schemas.problems(422, 503)},
        response_model=None,
    )
