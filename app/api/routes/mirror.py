"""``/v1/mirror``: how far the copies of each queue are."""

from fastapi import FastAPI
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.deadline import within
from app.api.routes.parameters import WHOLE, Cursor, Limit
from app.task_queue.task_queue import TaskQueue


def add_routes(application: FastAPI, task_queue: TaskQueue, within_s: float) -> None:
    """Put the endpoint in its place."""

    async def mirror(cursor: Cursor = None, limit: Limit = WHOLE) -> Response:
        """A page of the queues' mirrors, by the queues' names."""
        async with within(within_s):
            items, after = await task_queue.mirrors(cursor, limit)
        return json_answer({"items": items, "cursor": after})

    application.router.add_api_route(
        "/v1/mirror",
        mirror,
        methods=["GET"],
        responses={200: {"model": schemas.Mirrors}, **schemas.problems(422, 503)},
        response_model=None,
    )
