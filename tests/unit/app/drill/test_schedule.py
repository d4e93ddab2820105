"""The schedule of faults: the seed's alone, never too many at once, nothing that must be alone."""

from itertools import combinations, pairwise

import pytest

from app.drill.nemesis.kinds import LINES, PROCESSES, kind_of, kinds
from app.drill.nemesis.schedule import AT_MOST, CALM_MS, Choice, Stroke, may_begin, schedule

LASTS_MS = 600_000
CHOICES = [each.choice for each in kinds(mongo=True)]
SEEDS = range(40)


@pytest.fixture(params=SEEDS)
def strokes(request):
    return schedule(request.param, LASTS_MS, CHOICES)


def at_once(strokes, moment):
    return [each for each in strokes if each.at_ms <= moment < each.until_ms]


def test_the_same_seed_makes_the_same_faults():
    assert schedule(7, LASTS_MS, CHOICES) == schedule(7, LASTS_MS, CHOICES)
    assert schedule(7, LASTS_MS, CHOICES) != schedule(8, LASTS_MS, CHOICES)


def test_a_longer_time_goes_on_where_a_shorter_one_ended():
    short, long = schedule(7, 60_000, CHOICES), schedule(7, LASTS_MS, CHOICES)
    assert long[: len(short)] == short


def test_never_more_than_two_and_never_two_on_the_same(strokes):
    for each in strokes:
        active = at_once(strokes, each.at_ms)
        assert len(active) <= AT_MOST
        assert all(one.target != other.target for one, other in combinations(active, 2))


def test_two_at_once_do_come(strokes):
    assert any(len(at_once(strokes, each.at_ms)) == AT_MOST for each in strokes)


def test_a_deleted_queue_meets_no_other_fault_and_comes_after_some_calm(strokes):
    alone = [each for each in strokes if each.alone]
    assert alone
    for each in alone:
        earlier = [other for other in strokes if other.at_ms < each.at_ms]
        assert all(other.until_ms + CALM_MS <= each.at_ms for other in earlier)


def test_every_kind_comes_before_one_comes_again(strokes):
    first = strokes[: len(CHOICES)]
    assert len({(each.kind, kind_of(each).choice.targets) for each in first}) == len(CHOICES)


def test_all_is_begun_in_order_and_in_time(strokes):
    assert [each.at_ms for each in strokes] == sorted(each.at_ms for each in strokes)
    assert strokes[-1].at_ms < LASTS_MS


def test_an_hour_has_far_more_than_a_hundred_faults():
    assert len(schedule(1, 3_600_000, CHOICES)) > 300


def test_what_has_no_choice_is_waited_for():
    only = [Choice("killed", ("redis",), (10_000, 10_000))]
    strokes = schedule(1, 60_000, only)
    assert all(b.at_ms >= a.until_ms for a, b in pairwise(strokes))


def test_one_begins_beside_another_unless_they_are_too_many_or_of_the_same():
    def stroke(target, *, alone=False):
        return Stroke("killed", target, "", 0, 1_000, alone)

    redis, mongo, api = stroke("redis"), stroke("mongo"), stroke("api")
    assert may_begin(redis, [])
    assert may_begin(redis, [mongo])
    assert not may_begin(redis, [redis])
    assert not may_begin(redis, [mongo, api])
    assert not may_begin(stroke("rabbitmq", alone=True), [mongo])
    assert not may_begin(redis, [stroke("rabbitmq", alone=True)])


def test_a_stroke_says_what_it_is():
    assert Stroke("slow", "api>redis", "20ms", 0, 2_500).name == "api>redis slow (20ms), 2.5 s"
    assert Stroke("killed", "redis", "", 0, 0).name == "redis killed, 0.0 s"


def test_every_line_process_and_server_is_hit():
    targets = {target for each in CHOICES for target in each.targets}
    assert targets == {*LINES, *PROCESSES, "redis", "rabbitmq", "mongo"}


def test_no_kind_is_another_under_the_same_name():
    pairs = [(each.kind, target) for each in CHOICES for target in each.targets]
    assert len(pairs) == len(set(pairs))


def test_without_mongo_nothing_hits_it():
    found = [each.choice for each in kinds(mongo=False)]
    assert not any("mongo" in target for each in found for target in each.targets)
    assert {each.kind for each in CHOICES} - {each.kind for each in found} == {"steps down"}
