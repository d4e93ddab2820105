"""The FastAPI application: routes, and every error as a problem."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app import __version__
from app.api.accepting import Accepting
from app.api.bodies import Bodies, ClearBody, DiscardBody, RedriveBody, SelectionBody
from app.api.errors import NoSuchMethod, NoSuchRoute, problem_response
from app.api.findings import problems_of_parameters
from app.api.routes import (
    actions,
    batch,
    coverage,
    health,
    mirror,
    parked,
    quarantine,
    queues,
    rehydrations,
    tasks,
    workers,
)
from app.api.routes.rehydrations import RehydrateBody
from app.api.routes.strict import StrictRoute
from app.api.schemas import components
from app.errors import InvalidTask, LifeboatError
from app.metrics import Metrics
from app.settings import Settings
from app.task_queue.request import SubmitTask
from app.task_queue.task_queue import TaskQueue

CALLS_A_LOOK: Final = 4
CALLS_AN_ACTION: Final = 8
ACT_WITHIN_S: Final = 120
"""For what is done to any number of tasks; asked again, it goes on where it was."""
BODIES: Final = (SubmitTask, RedriveBody, SelectionBody, DiscardBody, ClearBody, RehydrateBody)


class Application(FastAPI):
    """FastAPI with the shapes it cannot learn from signatures."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        document["components"]["schemas"] |= components(*BODIES)
        return document


def create_application(settings: Settings, task_queue: TaskQueue, metrics: Metrics) -> FastAPI:
    """The whole API over one ``TaskQueue``."""
    application = Application(
        title="Lifeboat",
        version=__version__,
        description="A task queue that survives losing Redis.",
        redoc_url=None,
        redirect_slashes=False,
    )
    application.router.route_class = StrictRoute
    application.add_exception_handler(LifeboatError, _refused)
    application.add_exception_handler(RequestValidationError, _invalid)
    application.add_exception_handler(HTTPException, _not_routed)
    application.add_exception_handler(Exception, _refused)
    look_within_s = CALLS_A_LOOK * settings.store_timeout_ms / 1_000
    act_within_s = (
        settings.confirm_timeout_ms + CALLS_AN_ACTION * settings.store_timeout_ms
    ) / 1_000
    bodies = Bodies(settings)
    rules, accepting = tasks.rules_of(settings), Accepting(metrics, settings.tenant)
    tasks.add_routes(application, task_queue, settings, rules, accepting)
    batch.add_routes(application, task_queue, settings, rules, accepting)
    actions.add_routes(application, task_queue, bodies, act_within_s)
    for module in (queues, parked):
        module.add_routes(
            application,
            task_queue,
            bodies,
            look_within_s=look_within_s,
            act_within_s=ACT_WITHIN_S,
        )
    coverage.add_routes(application, task_queue, look_within_s)
    mirror.add_routes(application, task_queue, look_within_s)
    workers.add_routes(application, task_queue, look_within_s)
    quarantine.add_routes(application, task_queue, bodies, rules, accepting, act_within_s)
    rehydrations.add_routes(application, task_queue, bodies, look_within_s)
    health.add_routes(application, task_queue, metrics)
    return application


async def _refused(_request: Request, error: Exception) -> Response:
    return problem_response(error)


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    dependant = getattr(request.scope.get("route"), "dependant", None)
    return problem_response(InvalidTask(*problems_of_parameters(found, dependant)))


async def _not_routed(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:  # noqa: PLR2004 - a status
        allowed = (error.headers or {}).get("Allow", "")
        return problem_response(NoSuchMethod(request.method, tuple(allowed.split(", "))))
    if isinstance(error, HTTPException) and error.status_code == 404:  # noqa: PLR2004 - a status
        return problem_response(NoSuchRoute(f"There is nothing at {request.url.path}."))
    return problem_response(error)
