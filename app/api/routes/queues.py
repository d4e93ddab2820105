"""``/v1/queues``: the tenant's queues and their figures."""

from typing import Annotated

from fastapi import FastAPI, Path
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.deadline import within
from app.api.errors import QueueNotFound
from app.errors import TaskNotFound
from app.names import QUEUE_PATTERN
from app.task_queue.task_queue import TaskQueue

QueueInPath = Annotated[str, Path(pattern=f"^{QUEUE_PATTERN}$")]


class Queues:
    """The endpoints."""

    def __init__(self, task_queue: TaskQueue, within_s: float) -> None:
        self._task_queue = task_queue
        self._within_s = within_s

    async def all(self) -> Response:
        """Every queue."""
        async with within(self._within_s):
            return json_answer({"items": await self._task_queue.queues(), "cursor": None})

    async def one(self, queue: QueueInPath) -> Response:
        """One queue."""
        try:
            async with within(self._within_s):
                return json_answer(await self._task_queue.queue(queue))
        except TaskNotFound as error:
            raise QueueNotFound(str(error)) from error


def add_routes(application: FastAPI, task_queue: TaskQueue, within_s: float) -> None:
    """Put the endpoints in their places."""
    queues = Queues(task_queue, within_s)
    application.router.add_api_route(
        "/v1/queues",
        queues.all,
        methods=["GET"],
        responses={200: {"model": schemas.Queues}, **schemas.problems(503)},
        response_model=None,
    )
    application.router.add_api_route(
        "/v1/queues/{queue}",
        queues.one,
        methods=["GET"],
        responses={200: {"model": schemas.Queue}, **schemas.problems(404, 422, 503)},
        response_model=None,
    )
