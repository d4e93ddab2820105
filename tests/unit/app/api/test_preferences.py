"""What stands beside a body: Prefer, Idempotency-Key, traceparent."""

import pytest

from app.api.preferences import origin_of, wait_preferred
from app.errors import InvalidTask


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        (["wait=5"], 5),
        (["respond-async, Wait = 5"], 5),
        (['wait="7"; x=y'], 7),
        (["return=minimal", "wait=3"], 3),
        (["wait=61"], 60),
        (["wait=0"], 0),
        (["wait=-1"], None),
        (["wait=soon"], None),
        (["wait"], None),
        (["waiting=5"], None),
        (["wait=1.5"], None),
        (["wait=²"], None),
    ],
)
def test_the_seconds_a_caller_would_wait(values, seconds):
    assert wait_preferred(values, 60) == seconds


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ([], None),
        (["k"], "k"),
        (['"k"'], "k"),
        (["k", '"k"'], "k"),
        (['"'], '"'),
        (['""'], ""),
        (['"k'], '"k'),
    ],
)
def test_a_key_is_the_same_bare_and_quoted(keys, key):
    assert origin_of(keys, []).key == key


def test_two_keys_are_refused():
    with pytest.raises(InvalidTask, match="Two different keys"):
        origin_of(["a", "b"], [])


def test_the_first_traceparent_counts():
    assert origin_of([], ["a", "b"]).traceparent == "a"
    assert origin_of([], []).traceparent is None
