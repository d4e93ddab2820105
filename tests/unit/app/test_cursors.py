"""Cursors say a place and nothing else; a list by name goes on behind the name."""

from base64 import urlsafe_b64encode

import orjson
import pytest

from app.cursors import page_by_name, read_cursor, write_cursor
from app.errors import InvalidTask


@pytest.mark.parametrize("place", [(), ("a",), (1, "a/b:c"), ("ü" * 300, 1 << 62)])
def test_a_place_is_read_as_it_was_written(place):
    cursor = write_cursor(*place)
    assert read_cursor(cursor) == list(place)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&")


@pytest.mark.parametrize(
    "text", ["", "x", "é", "====", "a\ud800", *(urlsafe_b64encode(each).decode() for each in (
        b"", b"{}", b'"a"', b"1", b"null", b"[1", b"\xff"))]
)  # fmt: skip
def test_what_has_not_the_form_of_a_cursor_is_refused(text):
    with pytest.raises(InvalidTask) as refused:
        read_cursor(text)
    assert [each.pointer for each in refused.value.problems] == ["?cursor"]


@pytest.mark.parametrize("place", [[], [1], [None], ["a", "b"], [["a"]]])
def test_a_place_of_another_list_is_refused(place):
    with pytest.raises(InvalidTask):
        page_by_name(["a"], str, urlsafe_b64encode(orjson.dumps(place)).decode(), 5)


def test_what_comes_and_goes_between_two_pages_moves_no_other():
    page, cursor = page_by_name(["a", "c", "e", "g"], str, None, 2)
    assert page == ["a", "c"]
    page, cursor = page_by_name(["b", "d", "e", "g"], str, cursor, 2)
    assert page == ["d", "e"]
    assert page_by_name(["b", "d", "g"], str, cursor, 2) == (["g"], None)


def test_the_last_page_has_no_cursor():
    assert page_by_name(["a", "b"], str, None, 2) == (["a", "b"], None)
    assert page_by_name([], str, None, 2) == ([], None)
