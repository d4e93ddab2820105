"""What the picture is made of: rates by the books, gaps where a store was silent, peaks kept."""

import pytest

from app.drill.timeline import POINTS_MAX, round_up, timeline
from app.drill.verdict import Sample

DEPTH = {"queued": 3, "running": 2, "scheduled": 1, "retrying": 0}
FAULT = {"name": "redis killed", "at": 12_000, "doneAt": 12_400}


def lines_of(drawn):
    return {line.name: line for panel in drawn.panels for line in panel.lines}


def test_every_event_is_counted_in_its_second():
    drawn = timeline([], [10_000, 10_100, 12_999], [11_000], [])
    assert lines_of(drawn)["accepted"].values == [2, 0, 1]
    assert lines_of(drawn)["executed"].values == [0, 1, 0]


def test_a_store_that_did_not_answer_is_a_gap_and_no_zero():
    samples = [
        Sample(10_000, DEPTH, 4, 7),
        Sample(11_000, None, None, 7),
        Sample(12_000, DEPTH, 5, None),
    ]
    lines = lines_of(timeline(samples, [], [], []))
    assert lines["queued"].seconds == [0, 1, 2]
    assert lines["queued"].values == [3, None, 3]
    assert lines["unmirrored"].values == [4, None, 5]
    assert lines["copies"].values == [7, 7, None]


def test_faults_are_placed_from_the_start_on():
    (band,) = timeline([Sample(10_000, DEPTH, 0, 0)], [], [], [FAULT]).bands
    assert (band.name, band.start, band.end) == ("redis killed", 2.0, 2.4)


def test_an_hour_keeps_its_peaks_and_its_sums():
    samples = [Sample(1_000 * n, DEPTH, 900 if n == 1_234 else 1, 0) for n in range(3_595)]
    # Steps of 12 s: the last is cut short.
    accepted = [500 * n for n in range(7_190)]
    lines = lines_of(timeline(samples, accepted, [], []))
    assert len(lines["unmirrored"].values) <= POINTS_MAX
    assert lines["unmirrored"].highest == 900
    assert len(lines["accepted"].values) <= POINTS_MAX
    assert set(lines["accepted"].values) == {2.0}


def test_a_drill_without_anything_is_a_picture_too():
    drawn = timeline([], [], [], [])
    assert (drawn.seconds, drawn.panels[0].top) == (1.0, 10)


@pytest.mark.parametrize(
    ("value", "top"), [(0, 10), (10, 10), (11, 20), (21, 50), (51, 100), (1_001, 2_000)]
)
def test_an_axis_ends_at_a_round_number(value, top):
    assert round_up(value) == top
