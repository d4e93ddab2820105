"""Strict JSON: what orjson would let pass, and what must not be refused by mistake."""

import pytest

from app.api.errors import MalformedJson
from app.api.json_body import parse, parse_array, parse_lines, parse_object
from app.errors import InvalidTask


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"b":{"a":2}}',
        b'{ "a" : 1 }',
        b'{"a\\"":1,"a":2}',
        b'{"s":"\\":"}',
        b'{"s":"\\u0061"}',
        b'{"s":"{[{[{[{["}',
        b'{"n":-9223372036854775808,"m":18446744073709551615}',
        b'{"n":1.50,"m":1e2}',
        b'[{"a":1},{"a":1}]',
    ],
)
def test_what_is_taken(raw):
    parse(raw, 4)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1, "a":2}',
        b'{"a":1,"\\u0061":2}',
        b'[{"x":{"a":1,"b":2,"a":3}}]',
        b'{"s":"\\":","a":1,"a":2}',
    ],
)
def test_a_key_given_twice_is_refused(raw):
    with pytest.raises(MalformedJson, match="given twice"):
        parse(raw, 64)


def test_depth_counts_levels_and_names_the_first_too_deep():
    assert parse(b'{"a":[{"b":1}]}', 3) == {"a": [{"b": 1}]}
    with pytest.raises(InvalidTask) as refused:
        parse(b'{"a":[{"b":[]}]}', 3)
    assert refused.value.problems[0].pointer == "#/a/0/b"


@pytest.mark.parametrize("number", [b"18446744073709551616", b"-9223372036854775809"])
def test_an_integer_beyond_64_bit_is_refused_not_rounded(number):
    with pytest.raises(InvalidTask) as refused:
        parse(b'{"a":[' + number + b"]}", 64)
    assert refused.value.problems[0].pointer == "#/a/0"


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"x"'])
def test_a_body_must_be_an_object(raw):
    with pytest.raises(InvalidTask, match="JSON object"):
        parse_object(raw, 64)


def test_items_of_an_array_are_judged_one_by_one():
    deep = b'{"a":' * 4 + b"1" + b"}" * 4
    good, no_object, too_deep = parse_array(b'[{"a":{"b":1}},7,%s]' % deep, 3)
    assert good == {"a": {"b": 1}}
    assert [each.problems[0].pointer for each in (no_object, too_deep)] == ["#", "#/a/a/a"]


def test_an_integer_too_large_spoils_its_item_alone():
    bad, good = parse_array(b'[{"a":18446744073709551616},{"a":18446744073709551615}]', 3)
    assert bad.problems[0].pointer == "#/a"
    assert good == {"a": 18446744073709551615}


@pytest.mark.parametrize("raw", [b"", b"[", b'[{"a":1,"a":2}]', b"[{}] []"])
def test_an_array_that_is_no_json_is_refused_whole(raw):
    with pytest.raises(MalformedJson):
        parse_array(raw, 3)


def test_lines_are_judged_one_by_one():
    first, second, third = parse_lines(b'{"a":1}\r\n\n{"a":1,"a":2}\n[]\n', 3)
    assert first == {"a": 1}
    assert isinstance(second, MalformedJson)
    assert isinstance(third, InvalidTask)
