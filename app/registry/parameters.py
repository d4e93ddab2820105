"""What a handler's parameters ask for, told by their annotations."""

import inspect
from collections.abc import Callable
from typing import Any, Final, Literal, get_args, get_type_hints

from app.registry.context import TaskContext

Part = Literal["context", "state"]

MAX_PARAMETERS: Final = 3
SIGNATURE: Final = (
    "must take the payload, and optionally the context as second argument (annotated TaskContext,"
    " or not at all) and the state of the lifespan (annotated with its type)."
)


def parts_of(function: Callable[..., Any]) -> tuple[Part, ...]:
    """What ``function`` takes after the payload, in order.

    Raises:
        ValueError: it cannot be called so; the text goes on after "The handler ...".
    """
    parameters = inspect.signature(function).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in parameters if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    if required or not 1 <= len(places) <= MAX_PARAMETERS:
        raise ValueError(SIGNATURE)
    hints = _hints(function)
    found: list[Part] = []
    for place in places[1:]:
        hint = hints.get(place.name, place.annotation)
        if hint in (place.empty, Any) and found:
            # Nothing says what is wanted here.
            raise ValueError(SIGNATURE)
        part: Part = "context" if hint in (place.empty, Any) or _is_context(hint) else "state"
        if part in found:
            raise ValueError(SIGNATURE)
        found.append(part)
    return tuple(found)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else function.__call__  # type: ignore[operator]
    try:
        return get_type_hints(target)
    except Exception:
        # Names that exist only for a type checker, or only inside a function: taken as they stand.
        return {}


def _is_context(hint: Any) -> bool:
    if isinstance(hint, str):
        return "TaskContext" in hint
    return hint is TaskContext or TaskContext in get_args(hint)
