"""Answers: JSON written once, by the one fast library."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response


def json_answer(
    document: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(document), status, headers=headers, media_type=media_type)
