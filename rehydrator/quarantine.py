"""Into the quarantine: the record first, then the message with a confirm, only then the ack.

Repeating it is harmless: the record's id comes from the message.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from app.amqp.message import Copy, Publication, Unreadable, read_copy
from app.amqp.topology import QUARANTINE
from app.clock import now_ms
from app.ledger.records import QuarantineRecord
from mirror.publisher import PublishOutcome
from rehydrator.holdings import Suspect
from rehydrator.redis_queue import Stores

ID_HEADER: Final = "x-quarantine-id"
REASON_HEADER: Final = "x-quarantine-reason"
DEAD_LETTERED: Final = "DEAD_LETTERED"
"""The reason where the broker itself put a copy aside."""
UNKNOWN_TYPE: Final = "lifeboat.unknown"
PUBLISH_WITHIN_MS: Final = 5_000
BODY_MAX: Final = 8 * 1_048_576
"""Bytes kept in the ledger's record; the message keeps them all."""
HEADERS_MAX: Final = 60
HEADER_MAX: Final = 1_000
"""Characters of a header's value; a message's headers must fit one frame."""


async def quarantine(stores: Stores, suspects: Sequence[Suspect]) -> list[Suspect]:
    """Put messages into the quarantine; returns those that are safe there and may be acked.

    Raises:
        Unavailable: the ledger is away.
    """
    ledger, publisher = stores.ledger, stores.publisher
    stores.crashes.reach("rehydrator.before_quarantine")
    for suspect in suspects:
        await ledger.put_quarantine(record_of(suspect, now_ms()))
    stores.crashes.reach("rehydrator.after_record")
    outcomes = await publisher.publish(
        [publication_of(suspect, now_ms() // 1_000) for suspect in suspects], PUBLISH_WITHIN_MS
    )
    stores.crashes.reach("rehydrator.after_quarantine")
    return [
        suspect
        for suspect, outcome in zip(suspects, outcomes, strict=True)
        if outcome is PublishOutcome.CONFIRMED
    ]


def quarantine_id(suspect: Suspect) -> str:
    """The same for the same message, however often it comes."""
    delivery = suspect.delivery
    name = delivery.message_id or hashlib.sha256(delivery.body).hexdigest()
    return str(uuid5(NAMESPACE_URL, f"lifeboat-quarantine:{suspect.queue}/{name}"))


def record_of(suspect: Suspect, at_ms: int) -> QuarantineRecord:
    """What a person will look at."""
    headers = {**plain_headers(suspect.delivery.headers), REASON_HEADER: suspect.detail}
    return QuarantineRecord(
        id=quarantine_id(suspect),
        reason=suspect.reason,
        queue=suspect.queue,
        tenant=suspect.tenant[:HEADER_MAX],
        task_id=suspect.task_id[:HEADER_MAX],
        headers=headers,
        body=suspect.delivery.body[:BODY_MAX],
        at_ms=at_ms,
    )


def id_of_message(headers: Mapping[str, Any], body: bytes, message_id: str | None) -> str:
    """Whose record a message in the quarantine is; dead letters come without a name of one."""
    given = headers.get(ID_HEADER)
    if isinstance(given, str) and given:
        return given
    name = message_id or hashlib.sha256(body).hexdigest()
    return str(uuid5(NAMESPACE_URL, f"lifeboat-quarantine:{QUARANTINE}/{name}"))


def record_of_message(
    id: str, headers: Mapping[str, Any], body: bytes, message_type: str | None, at_ms: int
) -> QuarantineRecord:
    """A record made of a message that has none."""
    found = read_copy(headers, body, message_type)
    names = ("", "", "")
    if isinstance(found, Copy):
        names = (found.envelope.tenant, found.envelope.queue, found.envelope.task_id)
    elif isinstance(found, Unreadable):
        names = (found.tenant, found.queue, found.task_id)
    reason = headers.get(REASON_HEADER)
    return QuarantineRecord(
        id=id,
        reason=reason if isinstance(reason, str) else DEAD_LETTERED,
        tenant=names[0][:HEADER_MAX],
        queue=names[1][:HEADER_MAX],
        task_id=names[2][:HEADER_MAX],
        headers=plain_headers(headers),
        body=body[:BODY_MAX],
        at_ms=at_ms,
    )


def publication_of(suspect: Suspect, timestamp_s: int) -> Publication:
    """The message as it lies in the quarantine: the same body, and which record is its own."""
    delivery = suspect.delivery
    return Publication(
        exchange="",
        routing_key=QUARANTINE,
        body=delivery.body,
        headers={
            **plain_headers(delivery.headers),
            ID_HEADER: quarantine_id(suspect),
            REASON_HEADER: suspect.reason,
        },
        type=delivery.type or UNKNOWN_TYPE,
        timestamp_s=timestamp_s,
    )


def plain_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Any message's headers as text, bounded; names as a MongoDB document takes them."""
    return {
        "".join("_" if each in ".$\0" else each for each in str(name)): _text(value)
        for name, value in list(headers.items())[:HEADERS_MAX]
    }


def _text(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text[:HEADER_MAX]
