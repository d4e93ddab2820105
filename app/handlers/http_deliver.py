"""``http.deliver``: one HTTP call, repeated until it is answered as expected."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from app.canary import CANARY, CanaryPayload
from app.clock import now_ms
from app.handlers.addresses import AddressRefused, Allowed, CheckedResolver, is_literal
from app.handlers.payload import DELIVER, HttpDeliverPayload
from app.registry import Discard, Retry, TaskContext, TaskRegistry

BODY_BYTES_MAX: Final = 65_536
SHOWN_CHARS: Final = 200
RETRY_AFTER_S_MAX: Final = 3_600.0
RETRYABLE: Final = frozenset({408, 425, 429})
SERVER_ERRORS: Final = range(500, 600)
JSON: Final = "application/json"


class HttpDeliver:
    """The handler with the connections it shares among all its calls."""

    def __init__(self, session: aiohttp.ClientSession, allowed: Allowed) -> None:
        self._session = session
        self._allowed = allowed

    async def __call__(self, payload: HttpDeliverPayload, context: TaskContext) -> dict[str, Any]:
        """Make the call: ``{"status", "headers", "body", "truncated"}``.

        Raises:
            Discard: the address is refused, or the answer is final and not the expected one.
            Retry: another try may bring the expected answer.
        """
        url = URL(payload.url)
        host = url.host or ""
        if is_literal(host) and not self._may_call(host):
            raise _refused(AddressRefused(host, ()))
        try:
            async with self._session.request(
                payload.method,
                url,
                headers=_headers(payload, context),
                data=_body(payload),
                allow_redirects=False,
            ) as response:
                return await _judged(response, payload.expect)
        except AddressRefused as error:
            raise _refused(error) from error
        except (aiohttp.InvalidURL, ValueError) as error:
            raise Discard(f"The call cannot be made: {error}.", type="invalid_request") from error
        except (aiohttp.ClientError, OSError) as error:
            detail = str(error) or type(error).__name__
            raise Retry(f"{url.origin()} gave no answer: {detail}.", type="transport") from error

    def _may_call(self, host: str) -> bool:
        return self._allowed.host(host) or self._allowed.address(host)


@asynccontextmanager
async def builtin_tasks(allow: Iterable[str]) -> AsyncIterator[TaskRegistry]:
    """A registry of the built-in types, as long as their connections are open.

    ``allow``: hosts and networks that may be called although they are not public.
    """
    allowed = Allowed.of(allow)
    connector = aiohttp.TCPConnector(limit=0, resolver=CheckedResolver(allowed), ttl_dns_cache=10)
    async with aiohttp.ClientSession(
        connector=connector,
        # Tasks share nothing: what one answer sets must not travel with the next call.
        cookie_jar=aiohttp.DummyCookieJar(),
        # The worker's own deadline covers the call; a second one would hide which it was.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"User-Agent": "lifeboat"},
    ) as session:
        registry = TaskRegistry()
        deliver = HttpDeliver(session, allowed)

        @registry.task(DELIVER, payload=HttpDeliverPayload)
        async def http_deliver(payload: HttpDeliverPayload, context: TaskContext) -> dict[str, Any]:
            return await deliver(payload, context)

        @registry.task(CANARY, payload=CanaryPayload)
        async def canary(payload: CanaryPayload) -> None:
            """It has arrived: that is all there is to it."""

        yield registry


async def _judged(response: aiohttp.ClientResponse, expect: list[int]) -> dict[str, Any]:
    body, truncated = await _read(response)
    status = response.status
    if expect[0] <= status <= expect[1]:
        return {
            "status": status,
            "headers": _joined(response.headers),
            "body": body,
            "truncated": truncated,
        }
    answer = f"{response.url.origin()} answered {status}, expected {expect[0]} to {expect[1]}"
    sentence = f"{answer}: {body[:SHOWN_CHARS]}" if body else f"{answer}."
    if status in RETRYABLE or status in SERVER_ERRORS:
        after = retry_after_s(response.headers.get("Retry-After"), now_ms())
        raise Retry(sentence, after=after, type="http_status")
    raise Discard(sentence, type="http_status")


async def _read(response: aiohttp.ClientResponse) -> tuple[str, bool]:
    """Up to ``BODY_BYTES_MAX`` bytes as text; the rest is not even read."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(BODY_BYTES_MAX):
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            response.close()
            break
    charset = response.charset or "utf-8"
    try:
        text = bytes(body[:BODY_BYTES_MAX]).decode(charset, "replace")
    except LookupError:
        text = bytes(body[:BODY_BYTES_MAX]).decode("utf-8", "replace")
    return text, len(body) > BODY_BYTES_MAX


def retry_after_s(value: str | None, now: int) -> float | None:
    """Seconds that a ``Retry-After`` asks for (a number or a date), at most an hour.

    ``now`` is wall clock in ms. None: absent or unreadable.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # More digits than any date needs would only cost time to read.
        return min(float(text[:12]), RETRY_AFTER_S_MAX)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(at.timestamp() - now / 1000, 0.0), RETRY_AFTER_S_MAX)


def _headers(payload: HttpDeliverPayload, context: TaskContext) -> CIMultiDict[str]:
    headers = CIMultiDict(payload.headers)
    if payload.has_json:
        headers.setdefault("Content-Type", JSON)
    headers["Idempotency-Key"] = context.idempotency_key
    headers["X-Lifeboat-Run"] = str(context.run)
    headers["X-Lifeboat-Attempt"] = str(context.attempt)
    return headers


def _body(payload: HttpDeliverPayload) -> bytes | None:
    if payload.has_json:
        return orjson.dumps(payload.json_body)
    return payload.body.encode() if payload.has_body else None


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for key, value in headers.items():
        # aiohttp's keys are a subclass of str, which orjson takes for no key of an object.
        name = str.__str__(key)
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _refused(error: AddressRefused) -> Discard:
    return Discard(str(error), type="address_refused")
