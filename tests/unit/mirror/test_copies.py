"""From a journal entry to a copy, or to the quarantine."""

import orjson
import pytest

from app.amqp.copies import heading_of
from app.amqp.message import Unreadability
from app.broker.journal import JournalEntry
from app.names import QueueName
from mirror.copies import hold, quarantine_record
from mirror.slicing import Slicer
from tests.support.envelopes import QUEUE, TENANT, envelope

NAME = QueueName(TENANT, QUEUE)
SLICER = Slicer(NAME)


def entry(raw, task_id="a", run=1):
    return JournalEntry("7-1", task_id, run, refresh=False, envelope=raw)


def changed(**members):
    return orjson.dumps({**orjson.loads(envelope("a").raw), **members})


def test_a_sound_entry_is_held_with_what_its_envelope_says():
    read = entry(envelope("a").raw)
    held = hold(read, NAME, SLICER)
    assert held.entry is read
    assert held.heading == heading_of(envelope("a"))


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (entry(b"{"), Unreadability.NOT_AN_ENVELOPE),
        (entry(changed(schema=99)), Unreadability.SCHEMA_TOO_NEW),
        (entry(changed(), task_id="b"), Unreadability.HEADERS_DIFFER),
        (entry(changed(), run=2), Unreadability.HEADERS_DIFFER),
        (entry(changed(queue="other")), Unreadability.HEADERS_DIFFER),
        (entry(changed(acceptedAt=1 << 63)), Unreadability.NOT_AN_ENVELOPE),
    ],
)
def test_what_is_no_envelope_of_this_queue_is_quarantined_with_its_reason(read, reason):
    error = hold(read, NAME, SLICER).heading
    record = quarantine_record(read, error, NAME, "g")
    assert (record.id, record.reason, record.body) == ("g-7-1", reason, read.envelope)
    assert (record.tenant, record.queue, record.task_id) == (TENANT, QUEUE, read.task_id)
    assert record.headers["detail"] == str(error)
