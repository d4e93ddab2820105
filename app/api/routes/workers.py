"""``/v1/workers``: which workers live."""

from fastapi import FastAPI
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.deadline import within
from app.api.routes.parameters import WHOLE, Cursor, Limit
from app.task_queue.task_queue import TaskQueue


def add_routes(application: FastAPI, task_queue: TaskQueue, within_s: float) -> None:
    """Put the endpoint in its place."""

    async def workers(cursor: Cursor = None, limit: Limit = WHOLE) -> Response:
        """A page of the workers that work for the tenant, by name."""
        async with within(within_s):
            items, after = await task_queue.workers(cursor, limit)
        return json_answer({"items": items, "cursor": after})

    application.router.add_api_route(
        "/v1/workers",
        workers,
        methods=["GET"],
        responses={200: {"model": schemas.Workers}, **schemas.problems(422, 503)},
        response_model=None,
    )
