"""``/v1/queues/{queue}/coverage`` and ``/canaries``: whether copies are really made."""

from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Query
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.deadline import within
from app.api.routes.parameters import QueueInPath, TaskId
from app.api.routes.queues import known_queue
from app.broker.coverage import MINUTES_MAX
from app.task_queue.task_queue import TaskQueue

MINUTES: Final = 60
Minutes = Annotated[
    int, Query(ge=1, le=MINUTES_MAX, description="How many, up to the one that runs now.")
]


def add_routes(application: FastAPI, task_queue: TaskQueue, within_s: float) -> None:
    """Put the endpoints in their places."""

    async def coverage(queue: QueueInPath, minutes: Minutes = MINUTES) -> Response:
        """Of the runs accepted in each minute, how many have a confirmed copy.

        A loss of Redis takes these counts along: `since` says from when on they are whole.
        """
        async with within(within_s):
            with known_queue():
                return json_answer(await task_queue.coverage(queue, minutes))

    async def canary(queue: QueueInPath, task_id: TaskId) -> Response:
        """How far round a canary is: a task of the type `lifeboat.canary`, its id `canary:...`."""
        async with within(within_s):
            return json_answer(await task_queue.canary(queue, task_id))

    get = partial(application.router.add_api_route, methods=["GET"], response_model=None)
    refusals = schemas.problems(404, 422, 503)
    get(
        "/v1/queues/{queue}/coverage",
        coverage,
        responses={200: {"model": schemas.Coverage}, **refusals},
    )
    get(
        "/v1/queues/{queue}/canaries/{taskId}",
        canary,
        responses={200: {"model": schemas.Canary}, **refusals},
    )
