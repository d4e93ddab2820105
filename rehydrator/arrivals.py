"""What has arrived: copies, fences, and what is neither. Pure.

A copy of another env or ledger is proof that something is wired wrongly: the process must stop
before it acts on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.amqp.message import Copy, Fence, Origin, Unreadable, read_copy
from app.errors import EnvMismatch, LedgerMismatch
from rehydrator.source import Delivery


@dataclass(frozen=True, slots=True)
class Home:
    """Where copies must come from; ``adopt``: another ledger's are taken too."""

    env: str
    ledger: str
    adopt: bool


@dataclass(slots=True)
class Arrivals:
    """A batch by kind, each in its order."""

    copies: list[tuple[Delivery, Copy]] = field(default_factory=list)
    fences: list[tuple[Delivery, Fence]] = field(default_factory=list)
    unreadable: list[tuple[Delivery, Unreadable]] = field(default_factory=list)


def sort(deliveries: Iterable[Delivery], home: Home) -> Arrivals:
    """Read a batch.

    Raises:
        EnvMismatch: a copy belongs to another env.
        LedgerMismatch: a copy belongs to another ledger.
    """
    arrivals = Arrivals()
    for delivery in deliveries:
        message = read_copy(delivery.headers, delivery.body, delivery.type)
        if isinstance(message, Fence):
            arrivals.fences.append((delivery, message))
        elif isinstance(message, Unreadable):
            arrivals.unreadable.append((delivery, message))
        else:
            check_origin(message.origin, home)
            arrivals.copies.append((delivery, message))
    return arrivals


def check_origin(origin: Origin, home: Home) -> None:
    """Refuse copies of another system.

    A copy that names no ledger was published while its publisher had not reached one: it is taken,
    for Redis and the env speak for it.

    Raises:
        EnvMismatch: it belongs to another env.
        LedgerMismatch: it belongs to another ledger.
    """
    if origin.env != home.env:
        raise EnvMismatch(
            f"RabbitMQ holds copies of env {origin.env!r}; this process serves {home.env!r}. Give"
            " each LIFEBOAT_ENV a vhost of its own in LIFEBOAT_RABBITMQ_URL. Nothing was acked or"
            " restored."
        )
    if origin.ledger not in ("", home.ledger) and not home.adopt:
        raise LedgerMismatch(
            f"RabbitMQ holds copies that belong to another ledger ({origin.ledger}) than the one"
            f" configured ({home.ledger}). Point LIFEBOAT_MONGO_URL or LIFEBOAT_SQLITE_PATH at that"
            " ledger, or start with --adopt-ledger if this one shall take over. Nothing was acked"
            " or restored."
        )
