"""What became of a published message, and what a publisher promises."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from app.amqp.message import Publication


class PublishOutcome(StrEnum):
    """Only ``CONFIRMED`` means that the broker has the message."""

    CONFIRMED = "confirmed"
    """Basic.Ack: a majority of the queue's members has it on disk."""
    RETURNED = "returned"
    """No queue is bound for it; the broker does not have it."""
    REFUSED = "refused"
    """Basic.Nack: the broker did not take it."""
    UNKNOWN = "unknown"
    """No answer in time or a lost connection: it may be there, now or later."""


class Publisher(Protocol):
    """Publishes with confirms, on a connection of its own that it keeps open by itself."""

    @property
    def connected(self) -> bool:
        """Whether the broker is reached, as far as this side knows."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether the broker has an alarm and takes nothing; see ``publish``."""
        ...

    async def publish(self, batch: Sequence[Publication], deadline_ms: int) -> list[PublishOutcome]:
        """Publish ``batch`` in its order; one outcome for each, after ``deadline_ms`` at the most.

        Several calls may be in flight. Waits for a connection that is being opened or blocked;
        never raises for the broker's troubles.
        """
        ...

    async def close(self) -> None:
        """Close the connection for good."""
        ...
