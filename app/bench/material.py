"""What the benches send: tasks of a type that does nothing, about 1 KB each. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from app.broker.intake import Submission
from app.clock import now_ms
from app.envelope import encode, request_digest
from app.names import QueueName, new_task_id

QUEUE: Final = "bench"
TYPE: Final = "bench.noop"
BYTES: Final = 1_024
_ENVELOPE_REST: Final = 345
_BODY_REST: Final = 100


def submit_body(number: int) -> dict[str, Any]:
    """A submit of about 1 KB; its task's id is made by whoever accepts it."""
    return {
        "type": TYPE,
        "queue": QUEUE,
        "durability": "fast",
        "payload": _payload(number, BYTES - _BODY_REST),
    }


def submit_bytes(number: int) -> bytes:
    """The same as JSON."""
    return orjson.dumps(submit_body(number))


def submissions(name: QueueName, count: int) -> Iterator[Submission]:
    """Tasks with fresh ids whose envelopes have about 1 KB, as a submit would make them.

    One at a time: 100,000 of them would take a gigabyte from the machine that is measured.
    """
    return (_submission(name, number) for number in range(count))


def _submission(name: QueueName, number: int) -> Submission:
    payload = _payload(number, BYTES - _ENVELOPE_REST)
    envelope = encode(
        key=name.task(new_task_id()),
        type=TYPE,
        payload=payload,
        context={"channel": "python"},
        options={},
        run=1,
        digest=request_digest({"type": TYPE, "payload": payload}),
        accepted_at_ms=now_ms(),
    )
    return Submission(envelope, fresh=True)


def _payload(number: int, size: int) -> dict[str, Any]:
    return {"number": number, "text": "x" * size}
