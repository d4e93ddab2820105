"""What was lost, told from two looks at a queue's history."""

from dataclasses import replace

import pytest

from app.ledger.records import Marks, StreamMark
from rehydrator.loss import SAME, TAIL_MS, Found, classify, sentence

NOW_MS = 1_700_000_060_000


def mark(ago_ms, added, sequence=0):
    return StreamMark(f"{NOW_MS - ago_ms}-{sequence}", added)


STREAMS = {"journal": mark(100, 40), "ready:high": mark(9_000, 3), "ready:normal": mark(100, 30)}
RECORDED = Marks("acme", "mail", "t1", f"{NOW_MS - 150}-0", STREAMS, NOW_MS)
HERE = Found("t1", "t0", RECORDED.watermark, STREAMS)
RENEWED = replace(HERE, token="t2", previous="t1")


def found(base, **streams):
    """``base`` with other streams; None: the key is gone."""
    changed = {name.replace("_", ":"): each for name, each in streams.items()}
    kept = {**base.streams, **changed}
    return replace(base, streams={name: each for name, each in kept.items() if each})


def test_nothing_is_known_of_a_queue_that_was_never_looked_at():
    assert classify(None, HERE) == SAME


@pytest.mark.parametrize("now", [HERE, RENEWED])
def test_what_only_grew_is_the_same(now):
    assert classify(RECORDED, now) == SAME
    grown = found(now, journal=mark(0, 41), ready_low=mark(0, 1))
    assert classify(RECORDED, replace(grown, watermark=f"{NOW_MS}-0")) == SAME


def test_an_idle_queue_of_which_nothing_was_ever_there_is_the_same():
    idle = replace(RECORDED, streams={}, watermark=None)
    assert classify(idle, replace(RENEWED, previous="", streams={}, watermark=None)) == SAME


def test_everything_gone_is_a_wipe():
    empty = replace(RENEWED, previous="", streams={}, watermark=None)
    assert classify(RECORDED, empty).kind == "wiped"


def test_streams_that_were_never_used_do_not_hide_a_wipe():
    unused = StreamMark("0-0", 0)
    before = replace(RECORDED, streams={**STREAMS, "ready:low": unused})
    after = replace(RENEWED, previous="", streams={"ready:low": unused}, watermark=None)
    assert classify(before, after).kind == "wiped"
    assert classify(before, HERE) == SAME


def test_a_wipe_is_seen_although_work_began_anew():
    anew = {"journal": mark(0, 2), "ready:normal": mark(0, 2), "ready:high": StreamMark("0-0", 0)}
    now = replace(RENEWED, previous="", streams=anew, watermark=f"{NOW_MS}-0")
    assert classify(RECORDED, now).kind == "wiped"


@pytest.mark.parametrize("name", ["journal", "ready_high", "ready_normal"])
@pytest.mark.parametrize("base", [HERE, RENEWED])
def test_one_stream_gone_is_a_lost_key(name, base):
    lost = classify(RECORDED, found(base, **{name: None}))
    assert (lost.kind, lost.lost) == ("key_lost", (name.replace("_", ":"),))


def test_all_streams_gone_within_a_generation_are_lost_keys():
    lost = classify(RECORDED, replace(HERE, streams={}))
    assert (lost.kind, set(lost.lost)) == ("key_lost", set(STREAMS))


@pytest.mark.parametrize("anew", [mark(0, 5), mark(0, 40), StreamMark("0-0", 0)])
def test_a_stream_made_anew_is_a_lost_key(anew):
    lost = classify(RECORDED, found(HERE, journal=anew))
    assert (lost.kind, lost.lost) == ("key_lost", ("journal",))


def test_a_lost_watermark_and_a_lost_generation_are_lost_keys():
    assert classify(RECORDED, replace(HERE, watermark=None)).lost == ("mirror",)
    lost = classify(RECORDED, replace(RENEWED, previous=""))
    assert (lost.kind, lost.lost) == ("key_lost", ("generation",))


def test_the_last_seconds_are_a_tail():
    lost = classify(RECORDED, found(RENEWED, journal=mark(700, 38)))
    assert (lost.kind, lost.behind_ms, lost.lost) == ("tail_lost", 600, ())
    longest = found(RENEWED, journal=mark(100 + TAIL_MS, 10))
    assert classify(RECORDED, longest).kind == "tail_lost"


def test_a_watermark_alone_shows_a_tail():
    assert classify(RECORDED, replace(RENEWED, watermark=f"{NOW_MS - 151}-0")).behind_ms == 1
    within_a_ms = replace(RECORDED, watermark=f"{NOW_MS - 150}-1")
    assert classify(within_a_ms, RENEWED).behind_ms == 1


def test_two_mirrors_at_once_may_set_the_watermark_back():
    assert classify(RECORDED, replace(HERE, watermark=f"{NOW_MS - 151}-0")) == SAME


def test_more_than_a_tail_was_rolled_back():
    lost = classify(RECORDED, found(RENEWED, journal=mark(101 + TAIL_MS, 10)))
    assert (lost.kind, lost.behind_ms) == ("rolled_back", TAIL_MS + 1)


def test_what_was_rolled_back_and_overtaken_by_new_work_is_told_from_a_wipe():
    streams = {"journal": mark(-50, 30), "ready:high": mark(-1, 2), "ready:normal": mark(-50, 20)}
    now = replace(RENEWED, streams=streams, watermark=f"{NOW_MS + 10}-0")
    lost = classify(RECORDED, now)
    assert (lost.kind, set(lost.lost)) == ("rolled_back", set(STREAMS))
    assert "by" not in sentence(lost, "acme/mail").split(":")[0]
    one = classify(RECORDED, found(RENEWED, journal=mark(-50, 30)))
    assert (one.kind, one.lost) == ("rolled_back", ("journal",))
    # Another generation began in between: what is there may be all new.
    assert classify(RECORDED, replace(now, previous="t3")).kind == "wiped"
    assert classify(RECORDED, replace(now, streams={})).kind == "wiped"


def test_going_back_within_a_generation_is_no_tail():
    assert classify(RECORDED, found(HERE, journal=mark(101, 39))).kind == "rolled_back"


def test_a_stream_that_an_older_copy_did_not_have_yet_is_part_of_the_roll_back():
    lost = classify(RECORDED, found(RENEWED, journal=mark(60_000, 1), ready_high=None))
    assert (lost.kind, lost.lost) == ("rolled_back", ("ready:high",))


def test_each_kind_has_its_sentence():
    kinds = ["wiped", "tail_lost", "rolled_back", "key_lost", "same"]
    losses = [replace(SAME, kind=kind, lost=("journal",), behind_ms=4_200) for kind in kinds]
    said = [sentence(loss, "acme/mail") for loss in losses]
    assert len(set(said)) == len(kinds)
    assert all("acme/mail" in each for each in said)
    assert "4.2 s" in said[1]
    assert "journal" in said[3]
