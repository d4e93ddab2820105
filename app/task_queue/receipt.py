"""The receipt: what a submit is answered with. Pure."""

from dataclasses import dataclass
from typing import Any, Final, Literal

LEVELS: Final = ("fast", "fsync", "mirrored")
"""Durability levels, each stronger than the one before."""

Disposition = Literal["created", "duplicate", "unchecked"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Which task stands for a request, and how safe it is."""

    task_id: str
    queue: str
    state: str
    disposition: Disposition
    requested: str
    reached: str
    degraded: bool
    accepted_at_ms: int
    accepted_by: Literal["redis", "rabbitmq"] = "redis"

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "taskId": self.task_id,
            "queue": self.queue,
            "state": self.state,
            "disposition": self.disposition,
            "durability": {"requested": self.requested, "reached": self.reached},
            "acceptedBy": self.accepted_by,
            "degraded": self.degraded,
            "acceptedAt": self.accepted_at_ms,
        }


def falls_short(reached: str, requested: str) -> bool:
    """Whether ``reached`` is a weaker level than ``requested``."""
    return LEVELS.index(reached) < LEVELS.index(requested)
