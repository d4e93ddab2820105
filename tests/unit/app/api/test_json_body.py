"""Strict JSON: what orjson would let pass, and what must not be refused by mistake."""

import pytest

from app.api.errors import MalformedJson
from app.api.json_body import parse, parse_object
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
