"""What a submit says beside its body: ``Prefer``, ``Idempotency-Key``, ``traceparent``. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from app.errors import FieldProblem, InvalidTask
from app.task_queue.request import KEY_POINTER, Origin

_WAIT: Final = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


def wait_preferred(values: Sequence[str], most_s: int) -> int | None:
    """The seconds of ``Prefer: wait=N``, at most ``most_s``; None: not asked for.

    What cannot be read is ignored, as RFC 7240 wants.
    """
    for preference in ",".join(values).split(","):
        if found := _WAIT.fullmatch(preference):
            return min(int(found[1]), most_s)
    return None


def origin_of(keys: Sequence[str], traceparents: Sequence[str]) -> Origin:
    """Where a submit came from, by the values of its headers.

    Raises:
        InvalidTask: two different idempotency keys.
    """
    given = {_unquoted(key) for key in keys}
    if len(given) > 1:
        raise InvalidTask(FieldProblem(KEY_POINTER, "Two different keys are given."))
    return Origin(
        "http",
        key=given.pop() if given else None,
        traceparent=traceparents[0] if traceparents else None,
    )


def _unquoted(key: str) -> str:
    quoted = len(key) > 1 and key[0] == key[-1] == '"'
    return key[1:-1] if quoted else key
