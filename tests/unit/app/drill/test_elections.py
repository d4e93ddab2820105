"""Which outcomes are no more what they were."""

from app.drill.elections import missing

KNOWN = {"a": (1, "succeeded", 10), "b": (1, "dead", 20)}


def test_what_is_as_it_was_is_not_missing_and_more_may_be_there():
    assert missing(KNOWN, KNOWN | {"c": (1, "succeeded", 30)}) == []
    assert missing({}, KNOWN) == []


def test_what_is_gone_or_changed_is_missing():
    assert missing(KNOWN, {}) == ["a", "b"]
    assert missing(KNOWN, KNOWN | {"a": (1, "succeeded", 11)}) == ["a"]
    assert missing(KNOWN, KNOWN | {"a": (1, "cancelled", 10)}) == ["a"]


def test_the_outcome_of_a_later_run_may_stand_in_its_place_and_that_of_an_earlier_may_not():
    assert missing(KNOWN, KNOWN | {"b": (2, "succeeded", 30)}) == []
    assert missing({"b": (2, "succeeded", 30)}, KNOWN) == ["b"]
