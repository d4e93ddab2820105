"""``/v1/tasks/{id}/cancel``, ``/retry`` and ``/resume``: what an operator does to one task."""

from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.bodies import Bodies, NoBody, RedriveBody
from app.api.deadline import within
from app.api.routes.parameters import QueueWanted, TaskId
from app.task_queue.task_queue import TaskQueue


class Actions:
    """The endpoints."""

    def __init__(self, task_queue: TaskQueue, bodies: Bodies, within_s: float) -> None:
        self._task_queue = task_queue
        self._bodies = bodies
        self._within_s = within_s

    async def cancel(
        self, request: Request, task_id: TaskId, queue: QueueWanted = None
    ) -> Response:
        """Cancel a task that has not ended; a running handler is told to stop.

        Answered 200, the cancel is recorded and holds, whatever is lost.
        """
        await self._bodies.read(request, NoBody)
        async with within(self._within_s):
            return json_answer(await self._task_queue.cancel(task_id, queue))

    async def retry(self, request: Request, task_id: TaskId, queue: QueueWanted = None) -> Response:
        """Start the next run of a dead task, with another payload if wanted."""
        body = await self._bodies.read(request, RedriveBody)
        async with within(self._within_s):
            task = await self._task_queue.redrive(task_id, queue, body.payload, expect="dead")
            return json_answer(task)

    async def resume(
        self, request: Request, task_id: TaskId, queue: QueueWanted = None
    ) -> Response:
        """Start the next run of a suspended task, with another payload if wanted."""
        body = await self._bodies.read(request, RedriveBody)
        async with within(self._within_s):
            task = await self._task_queue.redrive(task_id, queue, body.payload, expect="suspended")
            return json_answer(task)


def add_routes(
    application: FastAPI, task_queue: TaskQueue, bodies: Bodies, within_s: float
) -> None:
    """Put the endpoints in their places."""
    actions = Actions(task_queue, bodies, within_s)
    task: dict[int | str, Any] = {
        200: {"model": schemas.Task, "description": "The task as it is now."}
    }
    add = partial(application.router.add_api_route, methods=["POST"], response_model=None)
    add(
        "/v1/tasks/{taskId}/cancel",
        actions.cancel,
        responses={**task, **schemas.problems(400, 404, 408, 409, 413, 415, 422, 503)},
    )
    for verb, endpoint in (("retry", actions.retry), ("resume", actions.resume)):
        add(
            f"/v1/tasks/{{taskId}}/{verb}",
            endpoint,
            responses={
                **task,
                **schemas.problems(400, 404, 408, 409, 413, 415, 422, 429, 503),
            },
            openapi_extra=schemas.body_documentation(RedriveBody, required=False),
        )
