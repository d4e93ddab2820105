"""What a publisher promises."""

from collections.abc import Sequence
from typing import Protocol

from app.amqp.message import Publication
from app.amqp.publishing import PublishOutcome

__all__ = ["PublishOutcome", "Publisher"]


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
