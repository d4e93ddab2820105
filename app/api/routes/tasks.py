"""``/v1/tasks``: submit a task, look at one."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api import schemas
from app.api.accepting import Accepting
from app.api.answers import json_answer
from app.api.deadline import within
from app.api.json_body import parse_object, read_body
from app.api.media_types import JSON, media_type
from app.api.payloads import PAYLOADS
from app.api.preferences import origin_of, wait_preferred
from app.api.routes.parameters import QueueWanted, TaskId
from app.api.routes.raw import RawRoute
from app.clock import monotonic_ms, now_ms
from app.envelope import MEDIA_TYPE as ENVELOPE
from app.errors import TaskNotFound, Unavailable
from app.settings import Settings
from app.task_queue.receipt import Receipt
from app.task_queue.request import Level, Prepared, Rules, read_envelope, read_request
from app.task_queue.task_queue import TaskQueue
from app.task_queue.views import is_finished

BODY_PER_ENVELOPE: Final = 3
"""JSON with escapes is up to three times as long as the UTF-8 it becomes."""
CALLS_A_SUBMIT: Final = 3
"""Only two can use up their time, Redis and the ledger: who let one wait is known to be away."""
CALLS_A_LOOK: Final = 4

Wait = Annotated[
    float, Query(ge=0, allow_inf_nan=False, description="Seconds to wait for its end, at most 60.")
]


class Tasks:
    """The endpoints."""

    def __init__(
        self, task_queue: TaskQueue, settings: Settings, rules: Rules, accepting: Accepting
    ) -> None:
        self._task_queue = task_queue
        self._rules = rules
        self._accepting = accepting
        self._depth_max = settings.limit_depth
        self._wait_max_s = settings.limit_wait
        self._body_bytes_max = settings.limit_envelope * BODY_PER_ENVELOPE
        store_s = settings.store_timeout_ms / 1_000
        self._submit_within_s = settings.confirm_timeout_ms / 1_000 + CALLS_A_SUBMIT * store_s
        self._look_within_s = CALLS_A_LOOK * store_s

    async def submit(self, request: Request) -> Response:
        """Accept a task and answer with its receipt."""
        began_ms = monotonic_ms()
        given = media_type(request, JSON, ENVELOPE)
        raw = await read_body(request, self._body_bytes_max)
        prepared = self._prepared(request, given, raw)
        async with within(self._submit_within_s, prepared.envelope.task_id):
            receipt = await self._task_queue.submit(prepared)
        self._accepting.count(receipt)
        wait_s = wait_preferred(request.headers.getlist("prefer"), self._wait_max_s)
        if wait_s is None:
            return self._accepting.answer(receipt)
        task = await self._finished(receipt, wait_s - (monotonic_ms() - began_ms) / 1_000)
        applied = {"Preference-Applied": f"wait={wait_s}"}
        if task is None:
            return self._accepting.answer(receipt, applied)
        return json_answer(task | {"disposition": receipt.disposition}, 200, applied)

    async def get(self, task_id: TaskId, queue: QueueWanted = None, wait: Wait = 0) -> Response:
        """A task as it is, or as it is when it has finished within ``wait`` seconds."""
        wait_s = min(wait, self._wait_max_s)
        async with within(self._look_within_s + wait_s):
            return json_answer(await self._task_queue.get(task_id, queue, wait_s))

    def _prepared(self, request: Request, given: str, raw: bytes) -> Prepared:
        body = parse_object(raw, self._depth_max)
        if given == ENVELOPE:
            return read_envelope(raw, self._rules)
        headers = request.headers
        origin = origin_of(headers.getlist("idempotency-key"), headers.getlist("traceparent"))
        return read_request(body, self._rules, origin, now_ms())

    async def _finished(self, receipt: Receipt, wait_s: float) -> dict[str, Any] | None:
        """The finished task, None where it has not finished in time or nobody can say."""
        wait_s = max(0.0, wait_s)
        try:
            async with within(self._look_within_s + wait_s):
                task = await self._task_queue.get(receipt.task_id, receipt.queue, wait_s)
        except (Unavailable, TaskNotFound):
            return None
        return task if is_finished(task) else None


def rules_of(settings: Settings) -> Rules:
    """What submits over HTTP are judged by."""
    durability: Level = settings.durability or ("mirrored" if settings.rabbitmq_url else "fast")
    return Rules(
        tenant=settings.tenant,
        durability=durability,
        on_degraded=settings.on_degraded,
        envelope_bytes_max=settings.limit_envelope,
        context_chars_max=settings.limit_context,
        payloads=PAYLOADS,
    )


def add_routes(
    application: FastAPI,
    task_queue: TaskQueue,
    settings: Settings,
    rules: Rules,
    accepting: Accepting,
) -> None:
    """Put the endpoints in their places."""
    tasks = Tasks(task_queue, settings, rules, accepting)
    application.router.add_api_route(
        "/v1/tasks",
        tasks.submit,
        methods=["POST"],
        status_code=202,
        responses={
            202: {"model": schemas.Receipt, "description": "Accepted."},
            200: {"model": schemas.Receipt | schemas.Task, "description": "Known, or finished."},
            **schemas.problems(400, 408, 409, 413, 415, 422, 429, 431, 503),
        },
        response_model=None,
        openapi_extra=schemas.submit_documentation(),
        route_class_override=RawRoute,
    )
    application.router.add_api_route(
        "/v1/tasks/{taskId}",
        tasks.get,
        methods=["GET"],
        responses={200: {"model": schemas.Task}, **schemas.problems(404, 409, 422, 503)},
        response_model=None,
    )
