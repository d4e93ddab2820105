"""From pydantic's findings to ours: a JSON pointer, a sentence, the limit that was broken. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from app.errors import FieldProblem

_KINDS: Final = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "a list",
}

_LIMITS: Final = {
    "greater_than_equal": ("ge", "Must be at least {}."),
    "greater_than": ("gt", "Must be greater than {}."),
    "less_than_equal": ("le", "Must be at most {}."),
    "less_than": ("lt", "Must be less than {}."),
    "too_long": ("max_length", "Must have at most {} items."),
    "too_short": ("min_length", "Must have at least {} items."),
    "string_too_long": ("max_length", "Must have at most {} characters."),
    "string_too_short": ("min_length", "Must have at least {} characters."),
    "string_pattern_mismatch": ("pattern", "Must match {}."),
    "literal_error": ("expected", "Must be one of {}."),
    "enum": ("expected", "Must be one of {}."),
}


def pointer(places: Iterable[str | int], root: str = "#") -> str:
    """A JSON pointer as a URI fragment (RFC 6901 section 6), ``#/payload/url``."""
    escaped = (str(place).replace("~", "~0").replace("/", "~1") for place in places)
    return "/".join((root, *escaped))


def problems_of(error: ValidationError, root: str = "#") -> list[FieldProblem]:
    """Every finding, pointing to the fields by the names the caller used."""
    return problems_from(error.errors(include_url=False, include_input=False), root)


def problems_from(findings: Iterable[Mapping[str, Any]], root: str = "#") -> list[FieldProblem]:
    """The same for findings as pydantic lists them."""
    found: dict[str, FieldProblem] = {}
    for each in findings:
        where = pointer(each["loc"], root)
        detail, limit = _judgement(each["type"], each.get("ctx", {}), each["msg"])
        found.setdefault(where, FieldProblem(where, detail, limit))
    return list(found.values())


def _judgement(kind: str, context: dict[str, Any], message: str) -> tuple[str, str | int | None]:
    if kind == "missing":
        return "Is required.", None
    if kind == "extra_forbidden":
        return "Is not a known field.", None
    if kind in _KINDS:
        return f"Must be {_KINDS[kind]}.", None
    if kind in _LIMITS:
        name, sentence = _LIMITS[kind]
        limit = _shown(context.get(name))
        return sentence.format(limit), limit
    return message.removeprefix("Value error, "), None


def _shown(limit: Any) -> str | int:
    if isinstance(limit, float) and limit.is_integer():
        return int(limit)
    if isinstance(limit, int):
        return limit
    text = str(limit)
    return text[1:-1] if text.startswith("^") and text.endswith("$") else text
