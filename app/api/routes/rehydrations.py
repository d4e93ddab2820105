"""``/v1/rehydrations``: bring back from RabbitMQ what Redis lost, and see what became of it."""

from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Path
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from app.api import schemas
from app.api.answers import json_answer
from app.api.bodies import IDS_MAX, Bodies, Time
from app.api.deadline import within
from app.api.errors import RehydrationNotFound
from app.api.routes.parameters import PAGE, Cursor, Limit
from app.api.routes.queues import known_queue
from app.names import QUEUE_PATTERN, TASK_ID_PATTERN
from app.task_queue.rehydrations import Wish
from app.task_queue.task_queue import TaskQueue

RATE_LEAST: Final = 0.1
Name = Annotated[str, Field(pattern=f"^{QUEUE_PATTERN}$")]
RunId = Annotated[str, Path(alias="id", pattern=f"^{TASK_ID_PATTERN}$")]


class RehydrateBody(BaseModel):
    """May be left out: everything is looked at, and what is missing in Redis brought back."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)

    dry_run: bool = Field(False, description="Only count what would be done.")
    queue: Name | None = Field(None, description="Only this queue.")
    tenant: Name | None = Field(None, description="Only tasks of this tenant.")
    since: Time | None = Field(None, description="Only tasks accepted then or later.")
    task_ids: list[Annotated[str, Field(pattern=f"^{TASK_ID_PATTERN}$")]] | None = Field(
        None, min_length=1, max_length=IDS_MAX, description="Only these tasks."
    )
    rate: Annotated[float, Field(strict=False, ge=RATE_LEAST)] | None = Field(
        None, description="Restores per second at the most."
    )

    def wish(self) -> Wish:
        """As the use case takes it."""
        return Wish(
            dry_run=self.dry_run,
            queue=self.queue,
            tenant=self.tenant,
            since_ms=self.since,
            task_ids=self.task_ids or (),
            rate=self.rate,
        )


class RehydrationRoutes:
    """The endpoints."""

    def __init__(self, task_queue: TaskQueue, bodies: Bodies, within_s: float) -> None:
        self._task_queue = task_queue
        self._bodies = bodies
        self._within_s = within_s

    async def request(self, request: Request) -> Response:
        """Ask for a run; a rehydrator process begins it within seconds, or it fails."""
        body = await self._bodies.read(request, RehydrateBody)
        async with within(self._within_s):
            with known_queue():
                run = await self._task_queue.rehydrations.request(body.wish())
        return json_answer(run, 202, {"Location": f"/v1/rehydrations/{run['id']}"})

    async def listed(self, cursor: Cursor = None, limit: Limit = PAGE) -> Response:
        """A page of the runs, newest first."""
        async with within(self._within_s):
            items, after = await self._task_queue.rehydrations.listed(cursor, limit)
        return json_answer({"items": items, "cursor": after})

    async def one(self, id: RunId) -> Response:
        """One run, as far as it is."""
        async with within(self._within_s):
            found = await self._task_queue.rehydrations.get(id)
        if found is None:
            raise RehydrationNotFound(f"There is no rehydration {id}.")
        return json_answer(found)


def add_routes(
    application: FastAPI, task_queue: TaskQueue, bodies: Bodies, within_s: float
) -> None:
    """Put the endpoints in their places."""
    routes = RehydrationRoutes(task_queue, bodies, within_s)
    add = partial(application.router.add_api_route, response_model=None)
    add(
        "/v1/rehydrations",
        routes.listed,
        methods=["GET"],
        responses={200: {"model": schemas.Rehydrations}, **schemas.problems(422, 503)},
    )
    add(
        "/v1/rehydrations",
        routes.request,
        methods=["POST"],
        status_code=202,
        responses={
            202: {"model": schemas.Rehydration, "description": "Asked for."},
            **schemas.problems(400, 404, 408, 409, 413, 415, 422, 503),
        },
        openapi_extra=schemas.body_documentation(RehydrateBody, required=False),
    )
    add(
        "/v1/rehydrations/{id}",
        routes.one,
        methods=["GET"],
        responses={200: {"model": schemas.Rehydration}, **schemas.problems(404, 422, 503)},
    )
