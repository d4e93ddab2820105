"""Many copies of one queue's tasks, made fast: the mirror's. Pure.

One copy at a time is made by ``app.amqp.message.copy_publication``; the tests hold both together.
"""

from hashlib import sha256
from typing import NamedTuple

from app.amqp.message import Publication
from app.amqp.table import CopyTables
from app.amqp.topology import TASKS
from app.envelope import MEDIA_TYPE, SCHEMA, Envelope
from app.names import QueueName


class Heading(NamedTuple):
    """What a copy says of one task beside its body; an empty ``traceparent`` is none."""

    task_id: str
    run: int
    type: str
    accepted_at_ms: int
    traceparent: str


def heading_of(envelope: Envelope) -> Heading:
    """The heading of an envelope's copy."""
    traceparent = envelope.context.get("traceparent")
    return Heading(
        envelope.task_id,
        envelope.run,
        envelope.type,
        envelope.accepted_at_ms,
        traceparent if isinstance(traceparent, str) else "",
    )


class CopyMaker:
    """Makes the copies of one queue under one generation."""

    def __init__(self, name: QueueName, *, env: str, ledger: str, generation: str) -> None:
        common: dict[str, str | int] = {
            "x-env": env,
            "x-generation": generation,
            "x-ledger": ledger,
            "x-schema": SCHEMA,
        }
        self._tables = CopyTables(name, common)
        self._key = f"{name.queue}.{name.tenant}."

    def publication(
        self, envelope: bytes, heading: Heading, journal_id: str, timestamp_s: int
    ) -> Publication:
        """The copy of one task of this queue, journaled as ``journal_id``.

        ``heading`` is what ``envelope`` says; ``timestamp_s`` the time of publishing, Unix seconds.
        """
        task_id, run, kind, accepted_at_ms, traceparent = heading
        table = self._tables.table(
            task_id,
            run,
            accepted_at_ms,
            sha256(envelope).hexdigest(),
            journal_id,
            traceparent,
        )
        return Publication(
            TASKS, self._key + kind, envelope, table, kind, timestamp_s, task_id, MEDIA_TYPE
        )
