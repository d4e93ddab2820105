"""Moments as people write them."""

import pytest

from rehydrator.since import moment_ms

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000123", 1_700_000_000_123),
        ("30s", NOW_MS - 30_000),
        ("1.5h", NOW_MS - 5_400_000),
        ("2d", NOW_MS - 172_800_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
    ],
)
def test_a_moment(text, expected):
    assert moment_ms(text, NOW_MS) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2w", "-1h", "2023-13-01"])
def test_no_moment(text):
    with pytest.raises(ValueError, match="write 2h"):
        moment_ms(text, NOW_MS)
