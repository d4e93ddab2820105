"""What the tests publish."""

from app.amqp.message import Origin, copy_publication
from app.envelope import encode
from app.names import QueueName

QUEUE = "mail"
ORIGIN = Origin("test", "ledger-1", "gen-1", "1-1")


def copies(n, *, queue=QUEUE, size=100, first=0):
    """``n`` publications of tasks ``task-<i>``."""
    return [
        copy_publication(
            encode(
                key=QueueName("acme", queue).task(f"task-{i}"),
                type="http.deliver",
                payload={"text": "ü" * (size // 2)},
                context={},
                options={},
                run=1,
                digest="ab" * 32,
                accepted_at_ms=1_700_000_000_123,
            ),
            ORIGIN,
            1_700_000_001,
        )
        for i in range(first, first + n)
    ]
