"""Parameters that several routes take."""

from typing import Annotated, Final

from fastapi import Path, Query

from app.names import QUEUE_PATTERN, TASK_ID_PATTERN, TYPE_PATTERN

PAGE_MAX: Final = 200
PAGE: Final = 50
WHOLE: Final = PAGE_MAX
"""Of what there are few of: all of them as a rule."""
CURSOR_CHARS_MAX: Final = 1_024

TaskId = Annotated[str, Path(alias="taskId", pattern=f"^{TASK_ID_PATTERN}$")]
QueueInPath = Annotated[str, Path(alias="queue", pattern=f"^{QUEUE_PATTERN}$")]
QueueWanted = Annotated[
    str | None, Query(alias="queue", pattern=f"^{QUEUE_PATTERN}$", description="Where it lies.")
]
TypeWanted = Annotated[
    str | None, Query(alias="type", pattern=f"^{TYPE_PATTERN}$", description="Only this type.")
]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_CHARS_MAX, description="Where the last page ended, from its answer."),
]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Items of a page.")]
