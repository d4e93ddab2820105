"""Where the API has its tasks, queues and copies. Pure."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from app.client.transport import Call

TASKS: Final = "/v1/tasks"
QUARANTINE: Final = "/v1/quarantine"


def on_task(
    method: str,
    task_id: str,
    queue: str | None,
    verb: str = "",
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Call:
    """A call on one task, or its ``verb``."""
    path = "/".join(filter(None, (TASKS, quote(task_id, safe=""), verb)))
    where = {"queue": queue} if queue else {}
    return Call(method, path, body, query={**where, **(query or {})}, task_id=task_id)


def on_copy(id: str, verb: str) -> Call:
    """What is done with one quarantined copy."""
    return Call("POST", f"{QUARANTINE}/{quote(id, safe='')}/{verb}")


def in_queue(*parts: str) -> str:
    """The path of a queue, or of what it has."""
    return "/".join(("/v1/queues", *(quote(part, safe="") for part in parts)))
