"""Where the API has its tasks, queues and copies. Pure."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from app import names
from app.client.errors import Invalid
from app.client.transport import Call
from app.errors import FieldProblem

TASKS: Final = "/v1/tasks"
QUARANTINE: Final = "/v1/quarantine"
COPY_ID_CHARS_MAX: Final = 256


def on_task(
    method: str,
    task_id: str,
    queue: str | None,
    verb: str = "",
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Call:
    """A call on one task, or its ``verb``.

    Raises:
        Invalid: this can be no task's id.
    """
    if not names.is_task_id(task_id):
        raise _refused("#/taskId", f"Must match {names.TASK_ID_PATTERN}.", names.TASK_ID_PATTERN)
    path = "/".join(filter(None, (TASKS, quote(task_id, safe=""), verb)))
    where = {"queue": queue} if queue else {}
    return Call(method, path, body, query={**where, **(query or {})}, task_id=task_id)


def on_copy(id: str, verb: str) -> Call:
    """What is done with one quarantined copy.

    Raises:
        Invalid: this can be no copy's id.
    """
    if not 0 < len(id) <= COPY_ID_CHARS_MAX or "/" in id:
        sentence = f"Must have 1 to {COPY_ID_CHARS_MAX} characters, and no slash."
        raise _refused("#/id", sentence, COPY_ID_CHARS_MAX)
    return Call("POST", f"{QUARANTINE}/{quote(id, safe='')}/{verb}")


def in_queue(queue: str, *parts: str) -> str:
    """The path of a queue, or of what it has.

    Raises:
        Invalid: this can be no queue's name.
    """
    if not names.is_queue(queue):
        raise _refused("#/queue", f"Must match {names.QUEUE_PATTERN}.", names.QUEUE_PATTERN)
    return "/".join(("/v1/queues", queue, *(quote(part, safe="") for part in parts)))


def _refused(pointer: str, detail: str, limit: str | int) -> Invalid:
    """As the API refuses it where it sees it; in a path some names would lead elsewhere."""
    problem = FieldProblem(pointer, detail, limit)
    return Invalid(f"{pointer}: {detail}", errors=(problem,))
