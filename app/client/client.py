"""``Client``: everything a user of a queue reaches for, over HTTP."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack

from app.client.batch import batches
from app.client.calls import QUARANTINE, TASKS, in_queue, on_copy, on_task
from app.client.errors import ClientError, NotFinished
from app.client.lifespans import Lifespans
from app.client.new_task import NewTask, Payload, SubmitOptions, encoded, plain
from app.client.pages import Listed
from app.client.results import (
    Acted,
    Canary,
    Coverage,
    Mirror,
    Quarantined,
    Queue,
    Receipt,
    Result,
    Task,
    Worker,
)
from app.client.selection import (
    Filters,
    Selection,
    filter_members,
    query_of,
    selections,
)
from app.client.transport import Call, Transport
from app.client.trying import Tried, handler_of, is_retryable, try_once
from app.clock import monotonic_ms
from app.names import QueueName, derived_task_id, new_task_id
from app.registry import Retry, TaskRegistry

DEFAULT_URL: Final = "http://127.0.0.1:8000"
WAIT_S_MAX: Final = 60.0
ANSWER_S: Final = 15.0
"""What a waiting call may take beyond its wait."""

R = TypeVar("R", bound=Result)


class Client:
    """One API and its connections. Safe to share by everything in one event loop.

    Every call ends within ``timeout`` seconds, repeats included, unless it says otherwise; what it
    can end with is in ``app.client.errors``.

    By default the client names each task itself before it asks, so that its own repeats, and the
    caller's after ``Unknown``, make one task. Such an id counts as given by the caller: Redis
    remembers it longer, and a worker asks the ledger before it starts the task. With
    ``server_ids`` the API makes the ids: cheaper, but then a submit whose answer was lost is not
    repeated. An id or a key given to a call is always used.

    Args:
        url: where the API is.
        timeout: seconds for one call.
        server_ids: let the API name tasks.
        repeat: whether calls are repeated on 503 and, where it does no harm, on a lost answer.
        tenant: whose tasks these are, the API's ``LIFEBOAT_TENANT``; only derived ids and
            ``try_now`` need it.
        registry: handlers for ``try_now``; its lifespan is entered by the first try.
        headers: sent with every call.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 30.0,
        server_ids: bool = False,
        repeat: bool = True,
        tenant: str = "default",
        registry: TaskRegistry | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._timeout_s = timeout
        self._server_ids = server_ids
        self._tenant = tenant
        self._registry = registry or TaskRegistry()
        self._lifespans = Lifespans()
        self._transport = Transport(url, headers or {}, repeat=repeat)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, and what handlers were given."""
        try:
            await self._lifespans.close()
        finally:
            await self._transport.close()

    async def submit(
        self,
        type: str,
        payload: Payload,
        *,
        within: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Receipt:
        """Submit a task; its receipt says how durable it is.

        Raises:
            Conflict: another request has its id.
            Invalid: names the fields that break a rule.
            QueueFull: back-pressure.
            NotReached: kept, but refused as ``on_degraded`` wishes.
            Unknown: repeat it with ``task_id=error.task_id``.
        """
        body, task_id = self._named(NewTask(type, payload, **options))
        return await self._submit(body, task_id, within)

    async def submit_many(
        self, tasks: Iterable[NewTask], *, within: float | None = None
    ) -> list[Receipt | ClientError]:
        """Submit tasks, up to 1,000 a call; for each, in order, its receipt or why it has none.

        ``within``: seconds for each of the calls.
        """
        outcomes: list[Receipt | ClientError] = []
        for batch in batches(self._named(task) for task in tasks):
            call = Call("POST", f"{TASKS}/batch", batch.raw, repeatable=batch.is_repeatable)
            try:
                answer = await self._ask(call, within)
            except ClientError as error:
                outcomes += batch.all_failed(error)
            else:
                outcomes += batch.outcomes(answer["items"])
        return outcomes

    async def get(self, task_id: str, *, queue: str | None = None) -> Task:
        """A task as it is. Raises ``NotFound``; ``Conflict`` where several queues have it."""
        return Task.of(await self._ask(on_task("GET", task_id, queue)))

    async def wait(
        self,
        task_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - each call of it has its own
        *,
        queue: str | None = None,
    ) -> Task:
        """A task once its run is over, however it ended. Outages of the API are waited out.

        ``timeout``: seconds; None: as long as it takes.

        Raises:
            NotFinished: it was still open after ``timeout``.
        """
        until_ms = None if timeout is None else monotonic_ms() + round(timeout * 1_000)
        while True:
            left_s = math.inf if until_ms is None else max(0, until_ms - monotonic_ms()) / 1_000
            wait_s = min(left_s, WAIT_S_MAX)
            call = on_task("GET", task_id, queue, query={"wait": f"{wait_s:.3f}"})
            patient = replace(call, try_s=wait_s + ANSWER_S)
            task = Task.of(await self._ask(patient, left_s + ANSWER_S))
            if task.is_finished:
                return task
            if until_ms is not None and monotonic_ms() >= until_ms:
                raise NotFinished(
                    f"Task {task_id} is still {task.state} after {timeout:.1f} s.",
                    task_id=task_id,
                    document=task.document(),
                )

    async def cancel(self, task_id: str, *, queue: str | None = None) -> Task:
        """Cancel a task that is not over. Raises ``Conflict`` where it is."""
        return Task.of(await self._ask(on_task("POST", task_id, queue, "cancel")))

    async def retry(
        self, task_id: str, *, queue: str | None = None, payload: Payload | None = None
    ) -> Task:
        """Run a dead task again, with another payload if one is given."""
        return await self._redrive("retry", task_id, queue, payload)

    async def resume(
        self, task_id: str, *, queue: str | None = None, payload: Payload | None = None
    ) -> Task:
        """Run a suspended task again, with another payload if one is given."""
        return await self._redrive("resume", task_id, queue, payload)

    async def queues(self) -> list[Queue]:
        """Every queue with its figures."""
        return [item async for item in self._items("/v1/queues", {}, Queue)]

    async def queue(self, queue: str) -> Queue:
        """One queue with its figures."""
        return Queue.of(await self._ask(Call("GET", in_queue(queue))))

    async def coverage(self, queue: str, minutes: int = 60) -> Coverage:
        """Of what was accepted in each of the last ``minutes``, how much has its copy."""
        call = Call("GET", in_queue(queue, "coverage"), query={"minutes": str(minutes)})
        return Coverage.of(await self._ask(call))

    async def canary(self, queue: str, task_id: str) -> Canary:
        """How far round a canary is. Raises ``NotFound``."""
        return Canary.of(await self._ask(Call("GET", in_queue(queue, "canaries", task_id))))

    def tasks(
        self,
        queue: str,
        *,
        state: str | None = None,
        type: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Listed[Task]:
        """A queue's tasks, the open ones first.

        ``limit``: at most so many; the list's ``cursor`` then says where it goes on.
        """
        query = query_of({"state": state, "type": type})
        return self._items(in_queue(queue, "tasks"), query, Task, cursor, limit)

    async def pause(self, queue: str) -> Queue:
        """Let no task of the queue start; submits are still taken."""
        return Queue.of(await self._ask(Call("POST", in_queue(queue, "pause"))))

    async def unpause(self, queue: str) -> Queue:
        """Let the queue's tasks start again."""
        return Queue.of(await self._ask(Call("POST", in_queue(queue, "unpause"))))

    async def clear(self, queue: str) -> int:
        """Cancel everything in the queue that does not run yet; how many."""
        call = Call("POST", in_queue(queue, "clear"), encoded({"confirm": queue}), repeatable=False)
        return int((await self._ask(call))["cancelled"])

    def dead(
        self,
        queue: str,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        **filters: Unpack[Filters],
    ) -> Listed[Task]:
        """The dead tasks of a queue that match, newest first; ``limit`` as in ``tasks``."""
        query = query_of(filter_members(**filters))
        return self._items(in_queue(queue, "dead"), query, Task, cursor, limit)

    def suspended(
        self,
        queue: str,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        **filters: Unpack[Filters],
    ) -> Listed[Task]:
        """The suspended tasks of a queue that match, newest first; ``limit`` as in ``tasks``."""
        query = query_of(filter_members(**filters))
        return self._items(in_queue(queue, "suspended"), query, Task, cursor, limit)

    async def retry_dead(
        self, queue: str, *, payload: Payload | None = None, **selection: Unpack[Selection]
    ) -> Acted:
        """Run many dead tasks again."""
        return await self._act(in_queue(queue, "dead", "retry"), selections(**selection), payload)

    async def discard_dead(self, queue: str, **selection: Unpack[Selection]) -> Acted:
        """Give many dead tasks up."""
        return await self._act(in_queue(queue, "dead", "discard"), selections(**selection))

    async def resume_suspended(
        self, queue: str, *, payload: Payload | None = None, **selection: Unpack[Selection]
    ) -> Acted:
        """Run many suspended tasks again."""
        path = in_queue(queue, "suspended", "resume")
        return await self._act(path, selections(**selection), payload)

    async def discard_suspended(self, queue: str, **selection: Unpack[Selection]) -> Acted:
        """Give many suspended tasks up."""
        return await self._act(in_queue(queue, "suspended", "discard"), selections(**selection))

    def quarantined(
        self, *, cursor: str | None = None, limit: int | None = None
    ) -> Listed[Quarantined]:
        """Unreadable or conflicting copies that wait for a person; ``limit`` as in ``tasks``."""
        return self._items(QUARANTINE, {}, Quarantined, cursor, limit)

    async def requeue_quarantined(self, id: str) -> Receipt:
        """Take a copy in after all, as the task it says it is."""
        return Receipt.of(await self._ask(on_copy(id, "requeue")))

    async def discard_quarantined(self, id: str) -> Quarantined:
        """Give a copy up."""
        return Quarantined.of(await self._ask(on_copy(id, "discard")))

    async def workers(self) -> list[Worker]:
        """Workers that were seen lately."""
        return [item async for item in self._items("/v1/workers", {}, Worker)]

    async def mirror(self) -> list[Mirror]:
        """How far the copies of each queue are."""
        return [item async for item in self._items("/v1/mirror", {}, Mirror)]

    async def try_now(
        self,
        task: str | Callable[..., Any],
        payload: Payload,
        *,
        retry_on: Sequence[type[Exception]] = (),
        within: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Tried:
        """Call a handler here and now, once; queue the task where that failed for the moment.

        ``Retry``, timeouts, errors of a connection and ``retry_on`` are taken for the moment's; any
        other error is raised as it is. The handler is given the id that the queued task has, so
        that an effect keyed on it happens once. The try is no attempt of the queued task.

        Args:
            task: a registered type, or the function that is registered for it.
            payload: validated by the type's model.
            retry_on: further errors that a later try may mend.
            within: seconds for the submit, where one is needed.
            options: of the submit; ``timeout`` is that of the try, too.

        Raises:
            RegistryError: the client's registry does not know ``task``.
            pydantic.ValidationError: the payload does not fit.
            ClientError: the try failed for the moment, and queueing the task failed, too.
        """
        handler = handler_of(self._registry, task)
        new = NewTask(handler.type, payload, **options)
        body, task_id = self._named(new, always=True)
        key = QueueName(self._tenant, new.queue).task(task_id or "")
        try:
            state = await self._lifespans.state_of(handler.lifespan)
            return Tried(await try_once(handler, key, body, state))
        except Exception as error:
            if not is_retryable(error, retry_on):
                raise
            # Only a delay of the caller's own goes before what the handler asks for.
            if isinstance(error, Retry) and error.after and "notBefore" not in body:
                body.setdefault("delayMs", round(error.after * 1_000))
            return Tried(None, await self._submit(body, task_id, within), error)

    def _named(self, task: NewTask, *, always: bool = False) -> tuple[dict[str, Any], str | None]:
        """A task's body, and its id where it is known before the API has answered."""
        body = task.body()
        key = body["context"].get("idempotencyKey")
        if key is not None:
            return body, derived_task_id(QueueName(self._tenant, task.queue), key)
        if "taskId" not in body and (always or not self._server_ids):
            body["taskId"] = new_task_id()
        return body, body.get("taskId")

    async def _submit(
        self, body: Mapping[str, Any], task_id: str | None, within: float | None
    ) -> Receipt:
        raw, repeatable = encoded(body), task_id is not None
        call = Call("POST", TASKS, raw, repeatable=repeatable, task_id=task_id)
        return Receipt.of(await self._ask(call, within))

    async def _redrive(
        self, verb: str, task_id: str, queue: str | None, payload: Payload | None
    ) -> Task:
        body = None if payload is None else encoded({"payload": plain(payload)})
        return Task.of(await self._ask(on_task("POST", task_id, queue, verb, body=body)))

    async def _act(
        self, path: str, selections: Iterable[dict[str, Any]], payload: Payload | None = None
    ) -> Acted:
        edited = {} if payload is None else {"payload": plain(payload)}
        matched = done = 0
        for selection in selections:
            call = Call("POST", path, encoded(selection | edited), repeatable=False)
            acted = Acted.of(await self._ask(call))
            matched, done = matched + acted.matched, done + acted.done
        return Acted(matched=matched, done=done)

    def _items(
        self,
        path: str,
        query: Mapping[str, str],
        read: type[R],
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Listed[R]:
        return Listed(self._ask, path, query, read.of, cursor=cursor, limit=limit)

    async def _ask(self, call: Call, within: float | None = None) -> Any:
        return await self._transport.ask(call, self._timeout_s if within is None else within)
