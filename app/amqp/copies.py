"""Many copies of one queue's tasks, made fast: the mirror's. Pure.

One copy at a time is made by ``app.amqp.message.copy_publication``; the tests hold both together.
"""

from hashlib import sha256

from app.amqp.message import Publication
from app.amqp.table import CopyTables
from app.amqp.topology import TASKS
from app.envelope import MEDIA_TYPE, SCHEMA, Envelope
from app.names import QueueName


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

    def publication(self, envelope: Envelope, journal_id: str, timestamp_s: int) -> Publication:
        """The copy of one task of this queue, journaled as ``journal_id``.

        ``timestamp_s`` is the time of publishing, Unix seconds.
        """
        traceparent = envelope.context.get("traceparent")
        table = self._tables.table(
            envelope.task_id,
            envelope.run,
            envelope.accepted_at_ms,
            sha256(envelope.raw).hexdigest(),
            journal_id,
            traceparent if isinstance(traceparent, str) else "",
        )
        return Publication(
            TASKS,
            self._key + envelope.type,
            envelope.raw,
            table,
            envelope.type,
            timestamp_s,
            envelope.task_id,
            MEDIA_TYPE,
        )
