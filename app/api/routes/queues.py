"""``/v1/queues``: the tenant's queues, their figures, their tasks, and what is done to a queue."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.bodies import Bodies, ClearBody, NoBody
from app.api.deadline import within
from app.api.errors import QueueNotFound
from app.api.routes.parameters import PAGE, WHOLE, Cursor, Limit, QueueInPath, TypeWanted
from app.errors import FieldProblem, InvalidTask, TaskNotFound
from app.state import TaskState
from app.task_queue.task_queue import TaskQueue

StateWanted = Annotated[TaskState | None, Query(description="Only this state.")]


@contextmanager
def known_queue() -> Iterator[None]:
    """A queue that is in the path and does not exist is what was not found."""
    try:
        yield
    except TaskNotFound as error:
        raise QueueNotFound(str(error)) from error


class Queues:
    """The endpoints."""

    def __init__(
        self,
        task_queue: TaskQueue,
        bodies: Bodies,
        *,
        look_within_s: float,
        act_within_s: float,
    ) -> None:
        self._task_queue = task_queue
        self._bodies = bodies
        self._look_within_s = look_within_s
        self._act_within_s = act_within_s

    async def all(self, cursor: Cursor = None, limit: Limit = WHOLE) -> Response:
        """A page of the queues, by name."""
        async with within(self._look_within_s):
            items, after = await self._task_queue.queues(cursor, limit)
        return json_answer({"items": items, "cursor": after})

    async def one(self, queue: QueueInPath) -> Response:
        """One queue."""
        async with within(self._look_within_s):
            with known_queue():
                return json_answer(await self._task_queue.queue(queue))

    async def tasks(
        self,
        queue: QueueInPath,
        state: StateWanted = None,
        type: TypeWanted = None,
        cursor: Cursor = None,
        limit: Limit = PAGE,
    ) -> Response:
        """A page of a queue's tasks: the open ones, then the finished ones, the latest first.

        A page may be short, or empty, before the end: only a null cursor says that it is the last.
        Tasks move on meanwhile: one may come twice, and one whose state changes between two pages,
        or that no worker at hand knows how to run, not at all where a state is wanted.
        """
        async with within(self._look_within_s):
            with known_queue():
                items, after = await self._task_queue.tasks(queue, state, type, cursor, limit)
        return json_answer({"items": items, "cursor": after})

    async def pause(self, request: Request, queue: QueueInPath) -> Response:
        """Let no task of the queue start from now on; running ones finish, submits are taken."""
        await self._bodies.read(request, NoBody)
        async with within(self._look_within_s):
            with known_queue():
                return json_answer(await self._task_queue.pause(queue))

    async def unpause(self, request: Request, queue: QueueInPath) -> Response:
        """Let the queue's tasks start again."""
        await self._bodies.read(request, NoBody)
        async with within(self._look_within_s):
            with known_queue():
                return json_answer(await self._task_queue.pause(queue, paused=False))

    async def clear(self, request: Request, queue: QueueInPath) -> Response:
        """Cancel every task of the queue that has not started."""
        body = await self._bodies.read(request, ClearBody)
        if body.confirm != queue:
            raise InvalidTask(FieldProblem("#/confirm", f"Must be the queue's name, {queue}."))
        async with within(self._act_within_s):
            with known_queue():
                return json_answer({"cancelled": await self._task_queue.clear(queue)})


def add_routes(
    application: FastAPI,
    task_queue: TaskQueue,
    bodies: Bodies,
    *,
    look_within_s: float,
    act_within_s: float,
) -> None:
    """Put the endpoints in their places."""
    queues = Queues(task_queue, bodies, look_within_s=look_within_s, act_within_s=act_within_s)
    get = partial(application.router.add_api_route, methods=["GET"], response_model=None)
    post = partial(application.router.add_api_route, methods=["POST"], response_model=None)
    refusals = schemas.problems(404, 422, 503)
    one = {200: {"model": schemas.Queue}, **refusals}
    get(
        "/v1/queues",
        queues.all,
        responses={200: {"model": schemas.Queues}, **schemas.problems(422, 503)},
    )
    get("/v1/queues/{queue}", queues.one, responses=one)
    get(
        "/v1/queues/{queue}/tasks",
        queues.tasks,
        responses={200: {"model": schemas.TaskList}, **refusals},
    )
    paused = {**one, **schemas.problems(400, 404, 408, 413, 415, 422, 503)}
    post("/v1/queues/{queue}/pause", queues.pause, responses=paused)
    post("/v1/queues/{queue}/unpause", queues.unpause, responses=paused)
    post(
        "/v1/queues/{queue}/clear",
        queues.clear,
        responses={
            200: {"model": schemas.Cleared},
            **schemas.problems(400, 404, 408, 413, 415, 422, 503),
        },
        openapi_extra=schemas.body_documentation(ClearBody, required=True),
    )
