"""What FastAPI finds wrong with a path or a query, as problems of ours. Pure.

``?since`` points to a parameter of the query, ``#/taskId`` to a part of the path.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fastapi.dependencies.models import Dependant

from app.errors import FieldProblem
from app.task_queue.problems import problems_from

QUERY: Final = "query"
UNREADABLE: Final = {
    "int_parsing": "an integer",
    "int_parsing_size": "an integer",
    "int_from_float": "an integer",
    "float_parsing": "a number",
    "finite_number": "a number",
}


def problems_of_parameters(
    findings: Iterable[Mapping[str, Any]], dependant: Dependant | None
) -> list[FieldProblem]:
    """Every finding by its parameter; ``dependant`` knows the bounds of those of the query."""
    known = {
        each.alias: each.field_info.metadata for each in getattr(dependant, "query_params", ())
    }
    problems = []
    for each in findings:
        where, name = each["loc"][0], each["loc"][1]
        (problem,) = problems_from([{**each, "loc": (name,)}])
        if each["type"] in UNREADABLE:
            problem = _unreadable(problem, UNREADABLE[each["type"]], known.get(name, ()))
        problems.append(replace(problem, pointer=f"?{name}") if where == QUERY else problem)
    return problems


def _unreadable(problem: FieldProblem, kind: str, bounds: Sequence[Any]) -> FieldProblem:
    least = next((each.ge for each in bounds if hasattr(each, "ge")), None)
    most = next((each.le for each in bounds if hasattr(each, "le")), None)
    if most is not None:
        limit = f"{least} to {most}"
        return replace(problem, detail=f"Must be {kind} from {limit}.", limit=limit)
    if least is not None:
        return replace(problem, detail=f"Must be {kind}, at least {least}.", limit=least)
    return replace(problem, detail=f"Must be {kind}.")
