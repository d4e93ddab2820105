"""Reading a moment as a person writes it. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

_AGO: Final = re.compile(r"(?P<n>\d+(?:\.\d+)?)(?P<unit>[smhd])")
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment_ms(text: str, now_ms: int) -> int:
    """Unix ms of ``2h`` (that long ago), of an ISO 8601 time (UTC unless it says), or of itself.

    Raises:
        ValueError: it is none of these.
    """
    if text.isdecimal():
        return int(text)
    if match := _AGO.fullmatch(text):
        return now_ms - round(float(match["n"]) * _UNITS_MS[match["unit"]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no moment: write 2h, 30m or 1d (ago), 2026-01-31T12:00:00, or Unix ms."
        ) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
