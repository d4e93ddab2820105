"""From journal entries to copies, and what becomes of an entry that is no envelope."""

from app.amqp.copies import heading_of
from app.amqp.message import Unreadability
from app.broker.journal import JournalEntry
from app.clock import now_ms
from app.envelope import Envelope, decode
from app.errors import EnvelopeError, UnsupportedSchema
from app.ledger.records import QuarantineRecord
from app.names import QueueName
from mirror.slicing import Slicer
from mirror.window import Held


class MisplacedEntry(EnvelopeError):
    """An envelope that is another's than its journal entry says."""


def hold(entry: JournalEntry, name: QueueName, slicer: Slicer) -> Held:
    """Read the envelope of one entry of the journal of ``name``; see ``Held``."""
    heading = slicer.heading(entry.envelope)
    if heading and heading.task_id == entry.task_id and heading.run == entry.run:
        return Held(entry, heading)
    try:
        return Held(entry, heading_of(_envelope(entry, name)))
    except EnvelopeError as error:
        return Held(entry, error)


def quarantine_record(
    entry: JournalEntry, error: Exception, name: QueueName, token: str
) -> QuarantineRecord:
    """What a person gets to see of an unreadable entry; the same id however often it is made."""
    return QuarantineRecord(
        id=f"{token}-{entry.journal_id}",
        reason=_reason(error),
        queue=name.queue,
        tenant=name.tenant,
        task_id=entry.task_id,
        headers={
            "x-generation": token,
            "x-journal-id": entry.journal_id,
            "x-run": str(entry.run),
            "detail": str(error),
        },
        body=entry.envelope,
        at_ms=now_ms(),
    )


def _envelope(entry: JournalEntry, name: QueueName) -> Envelope:
    envelope = decode(entry.envelope)
    if (
        envelope.task_id != entry.task_id
        or envelope.queue != name.queue
        or envelope.tenant != name.tenant
        or envelope.run != entry.run
    ):
        raise MisplacedEntry(
            f"The journal says {name.task(entry.task_id).full}, run {entry.run}; the envelope says"
            f" {envelope.key.full}, run {envelope.run}."
        )
    return envelope


def _reason(error: Exception) -> str:
    if isinstance(error, UnsupportedSchema):
        return Unreadability.SCHEMA_TOO_NEW
    if isinstance(error, MisplacedEntry):
        return Unreadability.HEADERS_DIFFER
    return Unreadability.NOT_AN_ENVELOPE
