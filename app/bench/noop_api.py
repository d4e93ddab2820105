"""The reference of ``submit-http``: a FastAPI route with the same models that does nothing.

``python -m app.bench.noop_api PORT`` serves it as the API is served.
"""

import sys
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from app.api.schemas import Durability, Receipt
from app.state import TaskState
from app.task_queue.request import SubmitTask

PATH: Final = "/v1/tasks"
ACCEPTED: Final = 202
TASK_ID: Final = "01933333-0000-7000-8000-000000000000"
ACCEPTED_AT: Final = 1_700_000_000_000


def application() -> FastAPI:
    """The app with its one route."""
    api = FastAPI()

    @api.post(PATH, status_code=ACCEPTED)
    async def submit(task: SubmitTask) -> Receipt:
        return Receipt(
            taskId=TASK_ID,
            queue=task.queue,
            state=TaskState.QUEUED,
            disposition="created",
            durability=Durability(requested=task.durability, reached="fast"),
            acceptedBy="redis",
            degraded=False,
            acceptedAt=ACCEPTED_AT,
        )

    return api


def main(port: int) -> None:
    """Serve until told to stop."""
    options: dict[str, Any] = {"loop": "uvloop", "http": "httptools", "access_log": False}
    uvicorn.run(application(), host="127.0.0.1", port=port, log_level="warning", **options)


if __name__ == "__main__":
    main(int(sys.argv[1]))
