"""Properties out of content headers: each value as pamqp reads it, also after others like it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from rehydrator import properties as module
from rehydrator.properties import Properties, PropertiesReader


def content(properties, size=0):
    return ContentHeader(body_size=size, properties=properties).marshal()


short = st.text(max_size=20).filter(lambda text: len(text.encode()) <= 60)
plain = st.one_of(st.text(max_size=300), st.integers(-(1 << 63), (1 << 63) - 1))
exotic = st.recursive(
    st.one_of(
        plain,
        st.booleans(),
        st.none(),
        st.floats(allow_nan=False, width=32),
        st.binary(max_size=20).map(bytearray),
        st.integers(0, 1 << 32).map(lambda at: datetime.fromtimestamp(at, tz=UTC)),
        st.decimals(0, 1_000, places=2).map(Decimal),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(short, inner, max_size=3)),
    max_leaves=6,
)


def properties(values):
    names = {
        "content_type": short,
        "content_encoding": short,
        "headers": st.dictionaries(short, values, max_size=8),
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(0, 255),
        "correlation_id": short,
        "reply_to": short,
        "expiration": short,
        "message_id": short,
        "timestamp": st.just(datetime(2026, 1, 1, tzinfo=UTC)),
        "message_type": short,
        "user_id": short,
        "app_id": short,
    }
    return st.fixed_dictionaries({}, optional=names).map(lambda kw: Basic.Properties(**kw))


def as_pamqp_reads(header):
    content = ContentHeader()
    content.unmarshal(header)
    found = content.properties
    return Properties(found.headers or {}, found.message_type, found.message_id)


@given(properties(plain), st.integers(0, (1 << 64) - 1))
def test_properties_are_read_as_pamqp_reads_them(given_properties, size):
    header = content(given_properties, size)
    assert PropertiesReader().read(header) == as_pamqp_reads(header)


@given(properties(exotic))
def test_exotic_headers_are_read_as_pamqp_reads_them(given_properties):
    header = content(given_properties)
    assert PropertiesReader().read(header) == as_pamqp_reads(header)


def test_usual_headers_never_reach_pamqp(monkeypatch):
    monkeypatch.setattr("rehydrator.properties.ContentHeader", None)
    headers = {"text": "ü", **{f"n{bits}": 1 << bits for bits in range(63)}, "negative": -(1 << 63)}
    header = content(Basic.Properties(headers=headers, message_type="t", message_id="m"))
    assert PropertiesReader().read(header) == Properties(headers, "t", "m")


def test_a_header_text_that_is_no_text_stays_bytes():
    header = content(Basic.Properties(headers={"x": "ab"})).replace(b"ab", b"\xff\xfe")
    assert PropertiesReader().read(header).headers == {"x": b"\xff\xfe"}


@given(properties(plain), st.data())
def test_cut_or_garbled_properties_never_raise(given_properties, data):
    header = bytearray(content(given_properties))
    if data.draw(st.booleans()):
        del header[data.draw(st.integers(14, len(header))) :]
    else:
        at = data.draw(st.integers(12, len(header) - 1))
        header[at] = data.draw(st.integers(0, 255))
    assert isinstance(PropertiesReader().read(bytes(header)), Properties)


def test_properties_nobody_can_read_are_empty():
    header = content(Basic.Properties(headers={"x": "ab"})).replace(b"S", b"?")
    assert PropertiesReader().read(header) == Properties({}, None, None)


LIKE = {"x-run": 1, "x-task-id": "task-1", "x-tenant": "acme"}


def like(**headers):
    given_properties = Basic.Properties(
        headers={**LIKE, **headers},
        message_type="t",
        message_id="m" * 8,
        timestamp=datetime.now(UTC),
    )
    return content(given_properties, 99)


@pytest.fixture
def shapes(monkeypatch):
    """How many headers were walked through."""
    walked, walk = [], module._walk
    monkeypatch.setattr(module, "_walk", lambda header: walked.append(header) or walk(header))
    return walked


def test_headers_like_one_before_are_read_by_its_shape(shapes):
    reader = PropertiesReader()
    for number in range(9):
        header = like(
            **{"x-task-id": f"task-{number}", "x-accepted-at": 1_700_000_000_000 + number}
        )
        assert reader.read(header) == as_pamqp_reads(header)
    assert len(shapes) == 1


def test_what_many_share_is_walked_through_once_for_each_value(shapes):
    reader = PropertiesReader()
    for number in range(24):
        header = like(**{"x-task-id": f"task{number:02}", "x-tenant": "abcd"[number % 4] * 4})
        assert reader.read(header) == as_pamqp_reads(header)
    assert len(shapes) == 4


def test_headers_read_by_one_shape_are_each_their_own():
    reader = PropertiesReader()
    first = reader.read(like())
    first.headers["x-tenant"] = "spoilt"
    assert reader.read(like()) == as_pamqp_reads(like())


@pytest.mark.parametrize("name", ["x-env", "x-task-id"])
@pytest.mark.parametrize("values", [("one", "two"), (1, "two"), ("one", 2)])
def test_of_a_header_that_is_there_twice_the_last_one_counts(name, values):
    other = "y" * len(name)
    header = content(Basic.Properties(headers=dict(zip((name, other), values, strict=True))))
    twice = header.replace(other.encode(), name.encode())
    assert PropertiesReader().read(twice).headers == {name: values[1]}


@pytest.mark.parametrize(
    "other",
    [
        {"x-task-id": "task-10", "x-tenant": "acm"},
        {"x-run": 1_000, "x-tenant": "acm"},
        {"x-run": "b"[:0], "x-tenant": "x"},
    ],
    ids=["longer and shorter", "another width", "another kind"],
)
def test_a_header_as_long_but_of_another_shape_is_not_misread(other):
    reader = PropertiesReader()
    assert reader.read(like()) == as_pamqp_reads(like())
    header = like(**other)
    assert len(header) == len(like())
    assert reader.read(header) == as_pamqp_reads(header)
    assert reader.read(like()) == as_pamqp_reads(like())


@pytest.mark.parametrize("shared", [True, False], ids=["values of one shape", "shapes"])
def test_what_is_remembered_is_bounded(shared):
    reader = PropertiesReader()
    for size in range(2_500):
        headers = {"x-run": size, "x": "y" * (1 if shared else size), "z" * (size % 7): 1}
        header = content(Basic.Properties(headers=headers))
        assert reader.read(header) == as_pamqp_reads(header)
    shapes = [shape for known in reader._shapes.values() for shape in known]
    assert 0 < sum(len(shape._known) for shape in shapes) <= module.REMEMBERED
    assert reader._remembered <= module.REMEMBERED


@given(st.lists(properties(plain), min_size=2, max_size=6), st.data())
def test_one_reader_reads_whatever_comes_as_pamqp_does(several, data):
    reader = PropertiesReader()
    headers = [content(each) for each in several]
    for header in data.draw(st.lists(st.sampled_from(headers), max_size=12)):
        assert reader.read(header) == as_pamqp_reads(header)


@given(st.data())
def test_a_garbled_header_is_read_as_without_the_one_before(data):
    reader = PropertiesReader()
    reader.read(like())
    header = bytearray(like())
    header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    assert reader.read(bytes(header)) == PropertiesReader().read(bytes(header))
