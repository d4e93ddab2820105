import pytest
import typer

from app.cli.values import json_object, moment_ms, span_s

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7_200), ("1d", 86_400), ("0", 0), (None, None)],
)
def test_spans_are_seconds(text, seconds):
    assert span_s(text, "--delay") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1w", "1 h", "1e3"])
def test_what_is_no_span_is_a_usage_error(text):
    with pytest.raises(typer.BadParameter, match="90s"):
        span_s(text, "--delay")


@pytest.mark.parametrize(
    ("text", "ago", "ms"),
    [
        ("1767225600000", False, 1_767_225_600_000),
        ("2026-01-01T00:00:00", False, 1_767_225_600_000),
        ("2026-01-01T01:00:00+01:00", False, 1_767_225_600_000),
        ("2m", False, NOW_MS + 120_000),
        ("2m", True, NOW_MS - 120_000),
        (None, False, None),
    ],
)
def test_moments_are_milliseconds_utc(text, ago, ms):
    assert moment_ms(text, "--since", now_ms=NOW_MS, ago=ago) == ms


def test_what_is_no_moment_is_a_usage_error():
    with pytest.raises(typer.BadParameter, match="2026-01-31T12:00:00"):
        moment_ms("soon", "--since", now_ms=NOW_MS)


def test_json_must_be_an_object():
    assert json_object('{"a":1}', "PAYLOAD") == {"a": 1}
    for text in ("[]", "1", "{"):
        with pytest.raises(typer.BadParameter):
            json_object(text, "PAYLOAD")
