"""Values that people type: spans, moments, JSON. What cannot be read is a usage error."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import typer

UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def span_s(text: str | None, option: str) -> float | None:
    """Seconds: ``90``, ``90s``, ``1.5m``, ``2h``, ``1d``."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r}: write 90s, 5m, 2h or 1d.", param_hint=option)
    return float(found[1]) * UNITS_S[found[2]]


def moment_ms(text: str | None, option: str, *, now_ms: int, ago: bool = False) -> int | None:
    """Milliseconds UTC: a time (ISO 8601, UTC unless it says), milliseconds, or a span from now.

    ``ago``: spans count backwards.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    if _SPAN.fullmatch(text):
        span_ms = round((span_s(text, option) or 0) * 1_000)
        return now_ms - span_ms if ago else now_ms + span_ms
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r}: write 2h, 2026-01-31T12:00:00 or Unix ms.", param_hint=option
        ) from error


def json_object(text: str | None, option: str) -> dict[str, Any] | None:
    """A JSON object, ``@FILE`` that holds one, or ``-`` for stdin."""
    if text is None:
        return None
    try:
        value = orjson.loads(_raw(text))
    except OSError as error:
        raise typer.BadParameter(f"{text}: {error.strerror}.", param_hint=option) from error
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"Not JSON: {error}.", param_hint=option) from error
    if not isinstance(value, dict):
        raise typer.BadParameter("Must be a JSON object.", param_hint=option)
    return value


def _raw(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    return Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
