"""What a call of the client can end with: one tree, all of it ``ClientError``.

ClientError              says what to do next; carries what the API said
├── Refused              the API said no; nothing was changed
│   ├── NotFound         404: no such task, queue or copy
│   ├── Conflict         409: the id is taken, lives in several queues, or the state forbids it
│   ├── Invalid          the request breaks a rule; ``errors`` name the fields
│   └── QueueFull        429: back-pressure; ``retry_after_s``
├── NotReached           503: kept and will run, but not as durably as asked; ``reached``
├── NotFinished          a wait is over and the task is not
└── Unknown              it happened or not: repeat it under ``task_id``
    ├── NoAnswer         nothing came back, or nobody is there
    └── Unavailable      503 or another failure of the server
"""

from collections.abc import Mapping
from copy import copy
from typing import Any, Final, Self

from app.errors import FieldProblem, LifeboatError


class ClientError(LifeboatError):
    """Base of all of them.

    ``status`` and ``code`` are the answer's (None without one), ``detail`` its sentence, ``errors``
    the fields it names, ``task_id`` the task it is about, where that is known.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        errors: tuple[FieldProblem, ...] = (),
        task_id: str | None = None,
        retry_after_s: float | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        self.detail = detail
        self.status = status
        self.code = code
        self.errors = errors
        self.task_id = task_id
        self.retry_after_s = retry_after_s
        self.document = document or {}
        super().__init__(detail)

    def about(self, task_id: str | None) -> Self:
        """The same error, of one task."""
        found = copy(self)
        found.task_id = task_id
        return found


class Refused(ClientError):
    """The API said no, and changed nothing."""


class NotFound(Refused):
    """There is no such thing."""


class Conflict(Refused):
    """It contradicts what is there."""


class Invalid(Refused):
    """The request breaks a rule; ``errors`` name the fields."""


class QueueFull(Refused):
    """Back-pressure: try again later."""


class NotReached(ClientError):
    """The task is kept and will run, but is not as durable as asked; ``reached`` is its level."""

    @property
    def reached(self) -> str:
        """The level that was reached."""
        return str(self.document.get("reached", "fast"))


class NotFinished(ClientError, TimeoutError):
    """The time to wait is over and the task is not."""


class Unknown(ClientError):
    """What was asked may have happened or not; under the same ``task_id`` it is safe to repeat."""


class NoAnswer(Unknown):
    """No answer came, for want of a connection or of time."""


class Unavailable(Unknown):
    """The server, or a store behind it, could not do it now."""


_BY_STATUS: Final[dict[int, type[ClientError]]] = {
    404: NotFound,
    409: Conflict,
    429: QueueFull,
}
_SERVER_ERRORS: Final = 500


def error_of(
    status: int,
    document: Any,
    *,
    task_id: str | None = None,
    retry_after_s: float | None = None,
) -> ClientError:
    """The error that a problem (RFC 9457) stands for; ``document`` is whatever the body held."""
    problem = document if isinstance(document, dict) else {}
    code = problem.get("code")
    if status in _BY_STATUS:
        kind = _BY_STATUS[status]
    elif code == "durability_not_reached":
        kind = NotReached
    else:
        kind = Unavailable if status >= _SERVER_ERRORS else Invalid
    return kind(
        str(problem.get("detail") or f"The server answered {status} and did not say why."),
        status=status,
        code=code if isinstance(code, str) else None,
        errors=tuple(_field_problem(each) for each in problem.get("errors", ())),
        task_id=problem.get("taskId") or task_id,
        retry_after_s=retry_after_s,
        document=problem,
    )


def _field_problem(found: Mapping[str, Any]) -> FieldProblem:
    return FieldProblem(
        str(found.get("pointer", "#")), str(found.get("detail", "")), found.get("limit")
    )
