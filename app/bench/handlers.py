"""The registry of the benched worker: one type that does nothing."""

from typing import Final

from pydantic import BaseModel

from app.bench.material import TYPE
from app.registry import TaskRegistry

REGISTRY: Final = "app.bench.handlers:registry"


class Payload(BaseModel):
    """What ``material`` puts into a task."""

    number: int
    text: str


registry = TaskRegistry()


@registry.task(TYPE, payload=Payload)
async def do_nothing(payload: Payload) -> None:
    """The task itself costs nothing: what is measured is everything around it."""
