"""The payload of ``http.deliver``, the built-in durable HTTP call. Pure.

Judges what can be judged from the text alone. Where the address leads is the worker's to find out:
a name may lead elsewhere by the time of the attempt.
"""

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

DELIVER: Final = "http.deliver"
URL_CHARS_MAX: Final = 8_192
HEADER_CHARS_MAX: Final = 8_192
HEADERS_MAX: Final = 100
STATUS_MIN, STATUS_MAX = 100, 599
OF_THE_CONNECTION: Final = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding"}
    | {"keep-alive", "upgrade", "proxy-connection"}
)
"""Headers that belong to the connection, not to the request that is delivered."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_UNWRITABLE = re.compile(r"[\x00-\x20\x7f]")

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Status = Annotated[int, Field(ge=STATUS_MIN, le=STATUS_MAX)]


def _check_url(url: str) -> str:
    if _UNWRITABLE.search(url):
        raise ValueError("Must not contain spaces or control characters.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"Must be a URL: {error}.") from error
    if parts.scheme not in ("http", "https"):
        raise ValueError("Must begin with http:// or https://.")
    if not host or port == 0:
        raise ValueError("Must name a host.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("Must not carry credentials: send an Authorization header.")
    return url


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name[:64]!r} is no name of a header.")
        if name.lower() in OF_THE_CONNECTION:
            raise ValueError(f"{name} is set by the connection, not by a payload.")
        if len(value) > HEADER_CHARS_MAX or not _VALUE.fullmatch(value):
            raise ValueError(
                f"The value of {name} must have at most {HEADER_CHARS_MAX} Latin-1 characters and"
                " no line breaks."
            )
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("A header is given twice.")
    return headers


def _check_range(expect: list[int]) -> list[int]:
    if expect[0] > expect[1]:
        raise ValueError("Must be a range [first, last] with first <= last.")
    return expect


class HttpDeliverPayload(BaseModel):
    """One HTTP request to be made until it is answered as expected."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=False,
    )

    url: Annotated[str, Field(max_length=URL_CHARS_MAX), AfterValidator(_check_url)]
    method: Method = "POST"
    headers: Annotated[
        dict[str, str], Field(max_length=HEADERS_MAX), AfterValidator(_check_headers)
    ] = {}
    json_body: Any = Field(None, alias="json", description="Sent as application/json.")
    body: str = Field("", description="Sent as it is, UTF-8; not together with json.")
    expect: Annotated[
        list[Status], Field(min_length=2, max_length=2), AfterValidator(_check_range)
    ] = Field([200, 299], description="Statuses that count as success: [first, last], inclusive.")

    @model_validator(mode="after")
    def _one_body(self) -> "HttpDeliverPayload":
        if {"json_body", "body"} <= self.model_fields_set:
            raise ValueError("Give json or body, not both.")
        return self

    @property
    def has_json(self) -> bool:
        """Whether ``json`` was given; null is a value."""
        return "json_body" in self.model_fields_set

    @property
    def has_body(self) -> bool:
        """Whether ``body`` was given."""
        return "body" in self.model_fields_set
