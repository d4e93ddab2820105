"""Which content types a route reads."""

from typing import Final

from starlette.requests import Request

from app.api.errors import UnsupportedMediaType

JSON: Final = "application/json"


def media_type(request: Request, *accepted: str) -> str:
    """The request's content type, one of ``accepted``.

    Raises:
        UnsupportedMediaType: another one, another charset than UTF-8, or an encoded body.
    """
    given = request.headers.get("content-type", "")
    if given == JSON and JSON in accepted and "content-encoding" not in request.headers:
        return JSON
    found, _, parameters = given.partition(";")
    found = found.strip().lower()
    charset = parameters.lower().replace('"', "").replace(" ", "")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"{given} in {encoding}", accepted)
    if found not in accepted or charset not in ("", "charset=utf-8"):
        raise UnsupportedMediaType(given, accepted)
    return found
