"""Names: every rule, at its edges."""

import string
import time
import uuid
from itertools import pairwise

import pytest

from app import names
from app.names import QueueName, TaskKey

LOWER = string.ascii_lowercase + string.digits
ALNUM = string.ascii_letters + string.digits

# rule, first characters, further characters, longest
RULES = {
    names.is_queue: (LOWER, LOWER + "_-", 63),
    names.is_type: (ALNUM, ALNUM + "._-", 127),
    names.is_task_id: (ALNUM, ALNUM + "._:-", 127),
    names.is_idempotency_key: (
        "".join(map(chr, range(0x21, 0x7F))),
        "".join(map(chr, range(0x21, 0x7F))),
        255,
    ),
}
BY_NAME = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
EVERY = [chr(n) for n in range(0x180)] + ["\uff41", "\u0663", "\u2028", "\U0001f600"]


@BY_NAME
def test_the_first_character(rule):
    assert {char for char in EVERY if rule(char)} == set(RULES[rule][0])


@BY_NAME
def test_the_other_characters(rule):
    assert {char for char in EVERY if rule("a" + char + "b")} == set(RULES[rule][1])
    assert {char for char in EVERY if rule("a" + char)} == set(RULES[rule][1])


@BY_NAME
def test_the_length(rule):
    longest = RULES[rule][2]
    assert rule("a")
    assert rule("a" * longest)
    assert not rule("a" * (longest + 1))
    assert not rule("")


@BY_NAME
def test_a_newline_at_the_end_is_no_part_of_a_name(rule):
    assert not rule("a\n")
    assert not rule("a" * RULES[rule][2] + "\n")
    assert not rule("\na")


def test_a_full_name_says_all_three():
    key = QueueName("acme", "mail").task("order:17")
    assert key == TaskKey("acme", "mail", "order:17")
    assert key.full == "acme/mail/order:17"


def test_full_names_differ_where_names_do():
    # No part may hold a slash, so the joined text is unambiguous.
    assert not any(rule("a/b") for rule in (names.is_queue, names.is_task_id))


@pytest.mark.parametrize("key", ["k", "a/b", "!" * 255, "lifeboat:x", '"quoted"'])
def test_a_derived_id_is_the_uuid5_of_the_full_name_and_key(key):
    # RFC 9562, appendix A: the namespace for URLs.
    namespace = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
    expected = str(uuid.uuid5(namespace, f"lifeboat:acme/mail/{key}"))
    assert names.derived_task_id(QueueName("acme", "mail"), key) == expected
    assert names.is_task_id(expected)


def test_a_derived_id_is_pinned():
    # Retries of a client that outlive an upgrade must find their task again.
    derived = names.derived_task_id(QueueName("default", "default"), "order-17")
    assert derived == "b7a8b74f-65f6-5058-ac8d-a443185843be"


def test_derived_ids_differ_by_queue_and_tenant():
    places = [QueueName("a", "b"), QueueName("a", "c"), QueueName("b", "b")]
    assert len({names.derived_task_id(place, "key") for place in places}) == 3


def test_a_new_id_is_a_uuid_version_7_of_now():
    before = time.time_ns() // 1_000_000
    made = names.new_task_id()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(made)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= after
    assert str(parsed) == made
    assert names.is_task_id(made)


def test_new_ids_sort_by_the_millisecond_and_never_repeat(monkeypatch):
    made = []
    for ms in (0, 1, 1_790_000_000_000, 1_790_000_000_001, (1 << 48) - 1):
        monkeypatch.setattr(time, "time_ns", lambda ms=ms: ms * 1_000_000 + 999_999)
        made.append([names.new_task_id() for _ in range(200)])
    assert len({each for batch in made for each in batch}) == 1_000
    for earlier, later in pairwise(made):
        assert max(earlier) < min(later)
    assert {uuid.UUID(each).version for batch in made for each in batch} == {7}


def test_all_random_bits_of_a_new_id_vary():
    seen = [uuid.UUID(names.new_task_id()).int for _ in range(400)]
    fixed = (0xF << 76) | (0x3 << 62) | (((1 << 48) - 1) << 80)
    ones = zeros = 0
    for value in seen:
        ones |= value
        zeros |= ~value
    free = ((1 << 128) - 1) & ~fixed
    assert ones & free == free
    assert zeros & free == free


def test_tokens_are_32_hex_digits_and_never_repeat():
    tokens = {names.new_token() for _ in range(1_000)}
    assert len(tokens) == 1_000
    assert all(len(token) == 32 and set(token) <= set("0123456789abcdef") for token in tokens)
