"""How many copies are left: what the broker cannot say yet is not none."""

import pytest

from app.drill.checker import copies_in

MIRROR, QUARANTINE = "lifeboat.mirror.orders", "lifeboat.quarantine"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, None),
        ({MIRROR: 3}, 3),
        ({MIRROR: 3, QUARANTINE: 2, "lifeboat.mirror.mail": 9, "own": None}, 5),
        ({MIRROR: None}, None),
        ({MIRROR: 0, QUARANTINE: None}, None),
        ({QUARANTINE: 2}, None),
    ],
)
def test_copies_are_counted_where_all_are_known(counts, expected):
    # A queue that was just made is shown without the member.
    shown = [
        {"name": name, **({} if count is None else {"messages": count})}
        for name, count in counts.items()
    ]
    assert copies_in(shown, "orders") == expected
