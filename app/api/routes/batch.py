"""``/v1/tasks/batch``: many tasks in one request, each judged and answered by itself."""

from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from app.api import schemas
from app.api.accepting import Accepting
from app.api.answers import json_answer
from app.api.deadline import within
from app.api.errors import MEDIA_TYPE, headers_of, problem
from app.api.json_body import parse_array, parse_lines, read_body
from app.api.media_types import JSON, media_type
from app.api.preferences import origin_of
from app.api.routes.raw import RawRoute
from app.clock import now_ms
from app.errors import (
    DurabilityNotReached,
    FieldProblem,
    InvalidTask,
    LifeboatError,
    Unavailable,
)
from app.settings import Settings
from app.task_queue.receipt import Receipt
from app.task_queue.request import KEY_POINTER, Origin, Prepared, Rules, TooLarge, read_request
from app.task_queue.task_queue import TaskQueue

NDJSON: Final = "application/x-ndjson"
CALLS_A_BATCH: Final = 6


class Batches:
    """The endpoint."""

    def __init__(
        self, task_queue: TaskQueue, settings: Settings, rules: Rules, accepting: Accepting
    ) -> None:
        self._task_queue = task_queue
        self._rules = rules
        self._accepting = accepting
        self._depth_max = settings.limit_depth
        self._tasks_max = settings.limit_batch
        self._bytes_max = settings.limit_batch_bytes
        store_s = settings.store_timeout_ms / 1_000
        self._within_s = settings.confirm_timeout_ms / 1_000 + CALLS_A_BATCH * store_s

    async def submit(self, request: Request) -> Response:
        """Accept many tasks: for each, in order, its receipt or its problem."""
        given = media_type(request, JSON, NDJSON)
        origin = _origin(request)
        raw = await read_body(request, self._bytes_max)
        parse = parse_lines if given == NDJSON else parse_array
        bodies = parse(raw, self._depth_max)
        if len(bodies) > self._tasks_max:
            sentence = f"Must have at most {self._tasks_max} tasks."
            raise InvalidTask(FieldProblem("#", sentence, self._tasks_max))
        prepared = [self._prepared(body, origin) for body in bodies]
        ready = [each for each in prepared if isinstance(each, Prepared)]
        async with within(self._within_s):
            outcomes = iter(await self._task_queue.submit_many(ready))
        items = [next(outcomes) if isinstance(each, Prepared) else each for each in prepared]
        return self._answer(prepared, items)

    def _prepared(
        self, body: dict[str, Any] | LifeboatError, origin: Origin
    ) -> Prepared | LifeboatError:
        if isinstance(body, LifeboatError):
            return body
        try:
            return read_request(body, self._rules, origin, now_ms())
        except (InvalidTask, TooLarge) as error:
            return error

    def _answer(
        self, prepared: list[Prepared | LifeboatError], items: list[Receipt | LifeboatError]
    ) -> Response:
        for item in items:
            if isinstance(item, Receipt):
                self._accepting.count(item)
        pairs = zip(prepared, items, strict=True)
        shown = {"items": [_shown(each, item) for each, item in pairs]}
        away = [each for each in items if isinstance(each, Unavailable)]
        if items and len(away) == len(items):
            document = problem(away[0]) | shown
            return json_answer(document, 503, headers_of(away[0]), media_type=MEDIA_TYPE)
        return json_answer(shown, 202)


def add_routes(
    application: FastAPI,
    task_queue: TaskQueue,
    settings: Settings,
    rules: Rules,
    accepting: Accepting,
) -> None:
    """Put the endpoint in its place."""
    batches = Batches(task_queue, settings, rules, accepting)
    application.router.add_api_route(
        "/v1/tasks/batch",
        batches.submit,
        methods=["POST"],
        status_code=202,
        responses={
            202: {"model": schemas.BatchAnswer, "description": "Looked at, each by itself."},
            **schemas.problems(400, 408, 413, 415, 422, 431, 503),
        },
        response_model=None,
        openapi_extra=schemas.batch_documentation(NDJSON),
        route_class_override=RawRoute,
    )


def _origin(request: Request) -> Origin:
    if "idempotency-key" in request.headers:
        sentence = "A batch has no key of its own: give each task context.idempotencyKey."
        raise InvalidTask(FieldProblem(KEY_POINTER, sentence))
    return origin_of((), request.headers.getlist("traceparent"))


def _shown(prepared: Prepared | LifeboatError, item: Receipt | LifeboatError) -> dict[str, Any]:
    if isinstance(item, Receipt):
        return item.document()
    document = problem(item)
    if isinstance(prepared, Prepared) and not isinstance(item, DurabilityNotReached):
        # Whether it was accepted may be unknown: under this id it can be asked for again.
        document["taskId"] = prepared.envelope.task_id
    return document
