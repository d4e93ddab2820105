"""The verdict of both stores on one task: shown, doubtful, or not there."""

import pytest

from app.broker.intake import Sighting
from app.envelope import encode
from app.errors import Unavailable
from app.ledger.records import FinishedPart, LedgerRecord, OpenPart
from app.names import TaskKey
from app.task_queue.finding import View, judge

KEY = TaskKey("default", "default", "t1")
ENVELOPE = encode(
    key=KEY,
    type="report",
    payload={},
    context={},
    options={},
    run=1,
    digest="ab" * 32,
    accepted_at_ms=1,
)
AWAY = Unavailable("ledger", "away")
DOUBT = Unavailable("redis", "pending")


def seen(run=1, state="queued", place="ready", raw=ENVELOPE.raw):
    return Sighting({"run": str(run), "state": state, "place": place}, raw)


SETTLED = seen(state="succeeded", place="", raw=None)


def record(finished=None, open_run=None):
    part = FinishedPart(finished, "succeeded", 2, "w", 1, None, None) if finished else None
    opened = OpenPart(open_run, 1, "failed", 9, 0, "w") if open_run else None
    return LedgerRecord(KEY, "ab" * 32, ENVELOPE.raw, part, opened, ())


@pytest.mark.parametrize(
    ("sighting", "doubt", "recorded", "away", "state", "run"),
    [
        (seen(), None, None, None, "queued", 1),
        (seen(), DOUBT, None, AWAY, "queued", 1),
        (seen(2), None, record(1), None, "queued", 2),
        (seen(1, "running"), None, record(1), None, "succeeded", 1),
        (SETTLED, None, record(1), None, "succeeded", 1),
        (None, None, record(1), None, "succeeded", 1),
        (None, DOUBT, record(1), None, "succeeded", 1),
        (None, None, record(2, 1), None, "succeeded", 2),
    ],
)
def test_the_latest_run_is_shown(sighting, doubt, recorded, away, state, run):
    shown = judge(View(KEY, sighting, doubt), recorded, away)
    assert (shown["state"], shown["run"]) == (state, run)


@pytest.mark.parametrize(
    ("sighting", "doubt", "recorded", "away"),
    [
        (None, DOUBT, None, None),
        (None, None, None, AWAY),
        (SETTLED, None, None, AWAY),
        (SETTLED, None, None, None),
        # Its entry is gone: it will be brought back.
        (seen(raw=None), None, None, None),
        (seen(2, raw=None), None, record(1), None),
        # An open run of which Redis knows nothing.
        (None, None, record(None, 1), None),
        (None, None, record(1, 2), None),
    ],
)
def test_whatever_is_less_than_two_clear_answers_is_a_doubt(sighting, doubt, recorded, away):
    assert isinstance(judge(View(KEY, sighting, doubt), recorded, away), Unavailable)


def test_two_clear_noes_are_a_no():
    assert judge(View(KEY, None, None), None, None) is None
