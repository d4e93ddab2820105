"""``/v1/quarantine``: copies that wait for a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Path
from starlette.requests import Request
from starlette.responses import Response

from app.api import schemas
from app.api.accepting import Accepting
from app.api.answers import json_answer
from app.api.bodies import Bodies, NoBody
from app.api.deadline import within
from app.api.errors import NotQuarantined
from app.api.routes.parameters import PAGE, Cursor, Limit
from app.errors import TaskNotFound
from app.task_queue.request import Rules, read_envelope
from app.task_queue.task_queue import TaskQueue

ID_CHARS_MAX: Final = 256
CopyId = Annotated[str, Path(alias="id", max_length=ID_CHARS_MAX)]


@contextmanager
def _known_copy() -> Iterator[None]:
    try:
        yield
    except TaskNotFound as error:
        raise NotQuarantined(str(error)) from error


class QuarantineRoutes:
    """The endpoints."""

    def __init__(
        self,
        task_queue: TaskQueue,
        bodies: Bodies,
        rules: Rules,
        accepting: Accepting,
        within_s: float,
    ) -> None:
        self._bodies = bodies
        self._task_queue = task_queue
        self._rules = rules
        self._accepting = accepting
        self._within_s = within_s

    async def listed(self, cursor: Cursor = None, limit: Limit = PAGE) -> Response:
        """A page of what lies in the quarantine, the latest first."""
        async with within(self._within_s):
            items, after = await self._task_queue.quarantined(cursor, limit)
        return json_answer({"items": items, "cursor": after})

    async def requeue(self, request: Request, id: CopyId) -> Response:
        """Accept the envelope of a copy, unchanged, and let the copy go."""
        await self._bodies.read(request, NoBody)
        judge = partial(read_envelope, rules=self._rules)
        async with within(self._within_s):
            with _known_copy():
                receipt = await self._task_queue.requeue(id, judge)
        self._accepting.count(receipt)
        return self._accepting.answer(receipt)

    async def discard(self, request: Request, id: CopyId) -> Response:
        """Let a copy go for good."""
        await self._bodies.read(request, NoBody)
        async with within(self._within_s):
            with _known_copy():
                return json_answer(await self._task_queue.discard_quarantined(id))


def add_routes(
    application: FastAPI,
    task_queue: TaskQueue,
    bodies: Bodies,
    rules: Rules,
    accepting: Accepting,
    within_s: float,
) -> None:
    """Put the endpoints in their places."""
    routes = QuarantineRoutes(task_queue, bodies, rules, accepting, within_s)
    add = partial(application.router.add_api_route, response_model=None)
    add(
        "/v1/quarantine",
        routes.listed,
        methods=["GET"],
        responses={200: {"model": schemas.QuarantinedCopies}, **schemas.problems(422, 503)},
    )
    add(
        "/v1/quarantine/{id}/requeue",
        routes.requeue,
        methods=["POST"],
        status_code=202,
        responses={
            202: {"model": schemas.Receipt, "description": "Accepted."},
            200: {"model": schemas.Receipt, "description": "Known."},
            **schemas.problems(400, 404, 408, 409, 413, 415, 422, 429, 503),
        },
    )
    add(
        "/v1/quarantine/{id}/discard",
        routes.discard,
        methods=["POST"],
        responses={
            200: {"model": schemas.QuarantinedCopy},
            **schemas.problems(400, 404, 408, 409, 413, 415, 422, 503),
        },
    )
