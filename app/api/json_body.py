"""Reading a request's body: bounded bytes, then JSON as strict as I-JSON (RFC 7493).

orjson decides what is JSON (UTF-8 only, no NaN, no lone surrogates) but keeps the last of two equal
keys and turns integers beyond 64 bit into floats. Both are refused here; the common case pays one
comparison for it: what comes out of orjson exactly as it came in has neither.
"""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, Final

import orjson
from starlette.requests import Request

from app.api.errors import ClientGone, MalformedJson, RequestTimeout
from app.errors import FieldProblem, InvalidTask
from app.task_queue.problems import pointer
from app.task_queue.request import TooLarge

BODY_WITHIN_S: Final = 30.0
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1

_KEY_LIKE = re.compile(rb'"[ \t\r\n]*:')
_LONG_NUMBER = re.compile(rb"\d{19}")
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body, never holding more than ``bytes_max``.

    Raises:
        TooLarge: it is longer, by its header or by what came.
        RequestTimeout: it did not come in time.
        ClientGone: the client left.
    """
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > bytes_max:
        raise TooLarge("The request's body", bytes_max)
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > bytes_max:
                    raise TooLarge("The request's body", bytes_max)
                chunks.append(chunk)
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise RequestTimeout("body", BODY_WITHIN_S) from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_object(raw: bytes, depth_max: int) -> dict[str, Any]:
    """A body that must be one JSON object.

    Raises:
        MalformedJson: not JSON, or a key is given twice.
        InvalidTask: no object, nested too deep, or an integer beyond 64 bit.
    """
    value = parse(raw, depth_max)
    if not isinstance(value, dict):
        raise InvalidTask(FieldProblem("#", "Must be a JSON object."))
    return value


def parse(raw: bytes, depth_max: int) -> Any:
    """Any JSON value; refuses as ``parse_object`` does."""
    shallow = raw.count(b"{") + raw.count(b"[") <= depth_max
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if not shallow and _nesting(raw) > depth_max:
            raise _too_deep("#", depth_max) from error
        raise MalformedJson(_sentence(raw, error)) from error
    if not shallow:
        _check_depth(value, depth_max)
    if not _is_canonical(raw, value) and not _has_unique_keys(raw, value):
        value = _parse_slowly(raw)
    return value


def parse_array(raw: bytes, depth_max: int) -> list[dict[str, Any] | InvalidTask]:
    """A body that must be a JSON array of objects; each object, or why that item is none we take.

    Raises:
        MalformedJson: not JSON, or a key is given twice.
        InvalidTask: no array.
    """
    value, is_exact = _parse_unlimited(raw, depth_max)
    if not isinstance(value, list):
        raise InvalidTask(FieldProblem("#", "Must be a JSON array of tasks."))
    return [_item(each, depth_max, is_exact=is_exact) for each in value]


def parse_lines(raw: bytes, depth_max: int) -> list[dict[str, Any] | MalformedJson | InvalidTask]:
    """Newline-delimited JSON objects, each judged by itself; empty lines count as none."""
    return [_line(each, depth_max) for each in raw.split(b"\n") if each.strip()]


def _line(raw: bytes, depth_max: int) -> dict[str, Any] | MalformedJson | InvalidTask:
    try:
        return parse_object(raw, depth_max)
    except (MalformedJson, InvalidTask) as error:
        return error


def _item(value: Any, depth_max: int, *, is_exact: bool) -> dict[str, Any] | InvalidTask:
    if not isinstance(value, dict):
        return InvalidTask(FieldProblem("#", "Must be a JSON object."))
    try:
        _check_depth(value, depth_max)
        if not is_exact:
            _walk(value, _check_integer)
    except InvalidTask as error:
        return error
    return value


def _parse_unlimited(raw: bytes, depth_max: int) -> tuple[Any, bool]:
    """JSON of any depth that the parser bears, and whether all its integers fit into 64 bits."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if _nesting(raw) > depth_max:
            raise _too_deep("#", depth_max) from error
        raise MalformedJson(_sentence(raw, error)) from error
    if _is_canonical(raw, value) or _has_unique_keys(raw, value):
        return value, True
    return _load_slowly(raw), False


def _is_canonical(raw: bytes, value: Any) -> bool:
    # orjson writes at most 254 levels.
    try:
        return orjson.dumps(value) == raw
    except orjson.JSONEncodeError:
        return False


def _has_unique_keys(raw: bytes, value: Any) -> bool:
    # Every key is followed by a colon, so the text has at least as many of these as keys. A string
    # that ends in an escaped quote before a colon only makes the count too high.
    return _LONG_NUMBER.search(raw) is None and len(_KEY_LIKE.findall(raw)) == _count_keys(value)


def _count_keys(value: Any) -> int:
    count, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            count += len(each)
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return count


def _check_depth(value: Any, depth_max: int) -> None:
    level: list[tuple[str, Any]] = [("#", value)]
    for _ in range(depth_max):
        level = [
            (pointer((place,), where), child)
            for where, each in level
            for place, child in _members(each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _too_deep(level[0][0], depth_max)


def _members(value: Any) -> list[tuple[str | int, Any]]:
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))


def _parse_slowly(raw: bytes) -> Any:
    value = _load_slowly(raw)
    _walk(value, _check_integer)
    return value


def _load_slowly(raw: bytes) -> Any:
    try:
        return json.loads(raw, object_pairs_hook=_unique)
    except _GivenTwice as error:
        raise MalformedJson(f"The key {json.dumps(error.key)} is given twice.") from error


class _GivenTwice(Exception):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _GivenTwice(key)
            seen.add(key)
    return found


def _walk(value: Any, check: Callable[[str, Any], None]) -> None:
    waiting: list[tuple[str, Any]] = [("#", value)]
    while waiting:
        where, each = waiting.pop()
        if isinstance(each, dict | list):
            waiting += [(pointer((place,), where), child) for place, child in _members(each)]
        else:
            check(where, each)


def _check_integer(where: str, value: Any) -> None:
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        problem = FieldProblem(where, "Must fit into 64 bits; send it as a string.", "64 bits")
        raise InvalidTask(problem)


def _nesting(raw: bytes) -> int:
    deepest = depth = 0
    for found in _STRING_OR_BRACKET.finditer(raw):
        token = found.group()
        if token in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"]", b"}"):
            depth -= 1
    return deepest


def _too_deep(where: str, depth_max: int) -> InvalidTask:
    sentence = f"Is nested deeper than {depth_max} levels."
    return InvalidTask(FieldProblem(where, sentence, depth_max))


def _sentence(raw: bytes, error: orjson.JSONDecodeError) -> str:
    return "The body is empty." if not raw else f"The body is not JSON: {error}."
