"""Envelopes for tests."""

from app.envelope import encode, request_digest
from app.names import QueueName

TENANT = "acme"
QUEUE = "mail"
ACCEPTED_AT_MS = 1_700_000_000_123


def envelope(task_id="a", *, payload=None, run=1, queue=QUEUE, digest=None, **options):
    """Run ``run`` of a task; ``options`` are the envelope's own (``notBefore``, ``priority``).

    ``digest``: of the request that began run 1, where this run's options are others.
    """
    given = {"type": "mail.send", "payload": payload or {"to": "x"}, **options}
    return encode(
        key=QueueName(TENANT, queue).task(task_id),
        type=given["type"],
        payload=given["payload"],
        context={},
        options=options,
        run=run,
        digest=digest or request_digest(given),
        accepted_at_ms=ACCEPTED_AT_MS,
    )
