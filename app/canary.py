"""The canary: a task that does nothing, to see that a task gets all the way round. Pure."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from app.names import new_task_id

CANARY: Final = "lifeboat.canary"
ID_PREFIX: Final = "canary:"
"""By it the rehydrator knows whose copies are watched."""


class CanaryPayload(BaseModel):
    """Nothing."""

    model_config = ConfigDict(extra="forbid")


def new_canary_id() -> str:
    """An id of its own for one flight."""
    return ID_PREFIX + new_task_id()


def is_canary(task_id: str) -> bool:
    """Whether somebody may watch for the copy of this task to leave."""
    return task_id.startswith(ID_PREFIX)
