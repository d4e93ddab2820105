"""What is done with every receipt: counted, and answered."""

from collections.abc import Mapping

from starlette.responses import Response

from app.api.answers import json_answer
from app.metrics import Metrics
from app.task_queue.receipt import Receipt


class Accepting:
    """Counts accepted tasks by the level they reached and the store that took them."""

    def __init__(self, metrics: Metrics, tenant: str) -> None:
        self._metrics = metrics
        self._tenant = tenant

    def count(self, receipt: Receipt) -> None:
        """Count an accepted task once, however often it is submitted."""
        if receipt.disposition != "duplicate":
            self._metrics.tasks_accepted.labels(
                self._tenant, receipt.queue, receipt.reached, receipt.accepted_by
            ).inc()

    def answer(self, receipt: Receipt, headers: Mapping[str, str] | None = None) -> Response:
        """202 for a task that is new, 200 for one that was known."""
        status = 200 if receipt.disposition == "duplicate" else 202
        location = {"Location": location_of(receipt.task_id, receipt.queue)}
        return json_answer(receipt.document(), status, location | dict(headers or {}))


def location_of(task_id: str, queue: str) -> str:
    """Where a task is shown."""
    return f"/v1/tasks/{task_id}?queue={queue}"
