"""Entries nobody may act on before a person looked at them (rule 10, P6)."""

import hashlib
import logging
from collections.abc import Sequence
from enum import StrEnum

from app.broker.delivery import Entry
from app.clock import now_ms
from app.ledger.ledger import Ledger
from app.ledger.records import QuarantineRecord
from app.names import TaskKey
from app.worker.claim import Claim, Phase, any_wanted
from app.worker.insist import insist

log = logging.getLogger(__name__)


class Finding(StrEnum):
    """Why an entry is set aside."""

    ID_CONFLICT = "ID_CONFLICT"
    NOT_AN_ENVELOPE = "NOT_AN_ENVELOPE"


async def set_aside(
    ledger: Ledger, consumer: str, claims: Sequence[Claim], finding: Finding
) -> None:
    """Have a record keep each claim's entry, then take it out of Redis.

    Raises:
        StaleGeneration: Redis has another history by now; the records stay.
    """
    for claim in claims:
        await _set_aside(ledger, consumer, claim, finding)


async def _set_aside(ledger: Ledger, consumer: str, claim: Claim, finding: Finding) -> None:
    record = quarantine_record(claim.task_key, claim.entry, finding, now_ms())
    log.error("%s goes to the quarantine: %s, id %s.", claim.task_key.full, finding, record.id)
    wanted = any_wanted([claim])
    await insist(lambda: ledger.put_quarantine(record), wanted)
    claim.enter(Phase.CLOSING)
    await insist(lambda: claim.work.delivery.drop(claim.token, consumer, [claim.entry]), wanted)
    claim.enter(Phase.OVER)


def quarantine_record(key: TaskKey, entry: Entry, finding: Finding, at_ms: int) -> QuarantineRecord:
    """The record of one entry. Pure; the same entry has the same id, so that repeats are one."""
    digest = hashlib.sha256(b"\0".join((key.full.encode(), entry.envelope))).hexdigest()
    return QuarantineRecord(
        id=digest[:32],
        reason=finding,
        queue=key.queue,
        tenant=key.tenant,
        task_id=key.task_id,
        headers={
            "x-task-id": key.task_id,
            "x-run": str(entry.run),
            "x-generation": entry.generation,
        },
        body=entry.envelope,
        at_ms=at_ms,
    )
