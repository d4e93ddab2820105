"""``/v1/queues/{q}/dead`` and ``/suspended``: tasks that wait for a person."""

from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.bodies import (
    TEXT_CHARS_MAX,
    Bodies,
    DiscardBody,
    SelectionBody,
    check_times,
    selection_of,
)
from app.api.deadline import within
from app.api.routes.parameters import PAGE, Cursor, Limit, QueueInPath, TypeWanted
from app.api.routes.queues import known_queue
from app.task_queue.parked import Action, Filter
from app.task_queue.redriving import VERBS, Parked
from app.task_queue.request import LATEST_MS
from app.task_queue.task_queue import TaskQueue

Text = Annotated[str | None, Query(max_length=TEXT_CHARS_MAX)]
ErrorType = Annotated[str | None, Query(max_length=TEXT_CHARS_MAX, description="An error's type.")]
ChatId = Annotated[str | None, Query(alias="chatId", max_length=TEXT_CHARS_MAX)]
Since = Annotated[
    int | None, Query(ge=0, le=LATEST_MS, description="Parked then or later, milliseconds UTC.")
]
Until = Annotated[
    int | None, Query(ge=0, le=LATEST_MS, description="Parked before then, milliseconds UTC.")
]


class ParkedRoutes:
    """The endpoints of one parked state."""

    def __init__(
        self,
        task_queue: TaskQueue,
        bodies: Bodies,
        state: Parked,
        *,
        look_within_s: float,
        act_within_s: float,
    ) -> None:
        self._task_queue = task_queue
        self._bodies = bodies
        self._state = state
        self._look_within_s = look_within_s
        self._act_within_s = act_within_s

    async def listed(
        self,
        queue: QueueInPath,
        type: TypeWanted = None,
        error: ErrorType = None,
        channel: Text = None,
        user: Text = None,
        chat_id: ChatId = None,
        since: Since = None,
        until: Until = None,
        cursor: Cursor = None,
        limit: Limit = PAGE,
    ) -> Response:
        """A page of them, the latest first.

        A page may be short, or empty, before the end: only a null cursor says that it is the last.
        """
        check_times(since, until, "?since")
        wanted = Filter(type, error, channel, user, chat_id, since, until)
        async with within(self._look_within_s):
            with known_queue():
                items, after = await self._task_queue.parked(
                    queue, self._state, wanted, cursor, limit
                )
        return json_answer({"items": items, "cursor": after})

    async def redrive(self, request: Request, queue: QueueInPath) -> Response:
        """Start the next run of those selected."""
        body = await self._bodies.read(request, SelectionBody)
        selection = selection_of(body)
        verb: Action = "retry" if self._state == "dead" else "resume"
        async with within(self._act_within_s):
            with known_queue():
                acted = await self._task_queue.act(
                    queue, self._state, verb, selection, body.payload
                )
        return json_answer(asdict(acted))

    async def discard(self, request: Request, queue: QueueInPath) -> Response:
        """End those selected for good."""
        selection = selection_of(await self._bodies.read(request, DiscardBody))
        async with within(self._act_within_s):
            with known_queue():
                acted = await self._task_queue.act(queue, self._state, "discard", selection)
        return json_answer(asdict(acted))


def add_routes(
    application: FastAPI,
    task_queue: TaskQueue,
    bodies: Bodies,
    *,
    look_within_s: float,
    act_within_s: float,
) -> None:
    """Put the endpoints in their places."""
    for state, verb in VERBS.items():
        routes = ParkedRoutes(
            task_queue, bodies, state, look_within_s=look_within_s, act_within_s=act_within_s
        )
        path = f"/v1/queues/{{queue}}/{state}"
        application.router.add_api_route(
            path,
            routes.listed,
            methods=["GET"],
            responses={200: {"model": schemas.TaskList}, **schemas.problems(404, 422, 503)},
            response_model=None,
        )
        for name, endpoint, model in (
            (verb, routes.redrive, SelectionBody),
            ("discard", routes.discard, DiscardBody),
        ):
            application.router.add_api_route(
                f"{path}/{name}",
                endpoint,
                methods=["POST"],
                responses={
                    200: {"model": schemas.Acted},
                    **schemas.problems(400, 404, 408, 413, 415, 422, 503),
                },
                response_model=None,
                openapi_extra=schemas.body_documentation(model, required=True),
            )
