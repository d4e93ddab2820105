"""How an open task is shown."""

import pytest

from app.broker.intake import Sighting
from app.task_queue.views import open_task
from tests.support.envelopes import envelope

FIELDS = {"state": "running", "run": "1", "attempt": "1", "place": "ready", "mirrored": "0"}


@pytest.mark.parametrize(
    ("noted", "shown"),
    [
        ({}, None),
        (
            {"progress": '{"fraction":0.4,"text":"half-way","at":1700000000123}'},
            {"fraction": 0.4, "text": "half-way", "at": 1_700_000_000_123},
        ),
    ],
)
def test_a_running_task_shows_how_far_it_says_it_is(noted, shown):
    task = envelope()
    document = open_task(task.key, Sighting({**FIELDS, **noted}, task.raw), None)
    assert document["progress"] == shown
