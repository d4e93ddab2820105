"""The payload of http.deliver: what is taken, what is refused, and where the pointer shows."""

import pytest
from pydantic import ValidationError

from app.handlers.payload import HttpDeliverPayload

URL = "https://example.org/hook?x=1"


def read(**members):
    return HttpDeliverPayload.model_validate({"url": URL} | members)


def test_the_least_payload_is_a_post_that_expects_any_2xx():
    payload = read()
    assert (payload.method, payload.headers, payload.expect) == ("POST", {}, [200, 299])
    assert not payload.has_json
    assert not payload.has_body


def test_a_null_json_is_a_body():
    payload = read(json=None)
    assert payload.has_json
    assert payload.json_body is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/",
        "HTTPS://EXAMPLE.org",
        "http://[::1]:80/x",
        "http://bücher.example/ü",
        "http://a/" + "x" * (8192 - 9),
    ],
)
def test_urls_that_are_taken(url):
    assert read(url=url).url == url


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"url": ""}, ("url",)),
        ({"url": "ftp://example.org/"}, ("url",)),
        ({"url": "//example.org/"}, ("url",)),
        ({"url": "http:///path"}, ("url",)),
        ({"url": "http://example.org:99999/"}, ("url",)),
        ({"url": "http://[::1/"}, ("url",)),
        ({"url": "http://exa mple.org/"}, ("url",)),
        ({"url": "http://example.org/\r\nX: y"}, ("url",)),
        ({"url": "http://user:secret@example.org/"}, ("url",)),
        ({"url": "http://a/" + "x" * (8193 - 9)}, ("url",)),
        ({"url": 7}, ("url",)),
        ({"method": "post"}, ("method",)),
        ({"method": "CONNECT"}, ("method",)),
        ({"headers": {"X Y": "1"}}, ("headers",)),
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, ("headers",)),
        ({"headers": {"X-A": "snow ☃"}}, ("headers",)),
        ({"headers": {"Content-Length": "1"}}, ("headers",)),
        ({"headers": {"X-A": "1", "x-a": "2"}}, ("headers",)),
        ({"headers": {"X-A": 1}}, ("headers", "X-A")),
        ({"headers": []}, ("headers",)),
        ({"body": {"a": 1}}, ("body",)),
        ({"json": {}, "body": ""}, ()),
        ({"json": None, "body": "x"}, ()),
        ({"expect": [200]}, ("expect",)),
        ({"expect": [299, 200]}, ("expect",)),
        ({"expect": [99, 200]}, ("expect", 0)),
        ({"expect": [200, 600]}, ("expect", 1)),
        ({"expect": [200.5, 299]}, ("expect", 0)),
        ({"json_body": 1}, ("json_body",)),
        ({"timeout": 5}, ("timeout",)),
    ],
)
def test_what_breaks_a_rule_is_refused_where_it_stands(members, place):
    with pytest.raises(ValidationError) as refused:
        read(**members)
    assert refused.value.errors()[0]["loc"] == place
