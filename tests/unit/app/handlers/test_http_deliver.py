import pytest

from app.handlers.http_deliver import retry_after_s

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("86400", 3_600),
        ("9" * 400, 3_600),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0),
        ("Wed, 15 Nov 2023 22:13:20 GMT", 3_600),
        ("Wed, 99 Nov 2023 22:13:20 GMT", None),
    ],
)
def test_retry_after_is_read_and_bounded(value, seconds):
    assert retry_after_s(value, NOW_MS) == seconds
