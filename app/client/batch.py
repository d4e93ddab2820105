"""Many tasks in few calls: how they are cut into batches, and what each came to. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.client.errors import ClientError, error_of
from app.client.new_task import encoded
from app.client.results import Receipt

TASKS_MAX: Final = 1_000
BYTES_MAX: Final = 12 * 1_048_576
"""Less than the API takes, which counts the envelopes."""
ACCEPTED: Final = "disposition"


@dataclass(frozen=True, slots=True)
class Batch:
    """One call's tasks: a JSON array, and the ids of those whose id is known."""

    raw: bytes
    task_ids: Sequence[str | None]

    @property
    def is_repeatable(self) -> bool:
        """Whether every task is known by an id of its own."""
        return None not in self.task_ids

    def outcomes(self, items: Sequence[Mapping[str, Any]]) -> list[Receipt | ClientError]:
        """The items of an answer, read."""
        return [
            Receipt.of(item)
            if ACCEPTED in item
            else error_of(int(item.get("status", 500)), item, task_id=task_id)
            for item, task_id in zip(items, self.task_ids, strict=True)
        ]

    def all_failed(self, error: ClientError) -> list[Receipt | ClientError]:
        """The same error for each."""
        return [error.about(task_id) for task_id in self.task_ids]


def batches(named: Iterable[tuple[Mapping[str, Any], str | None]]) -> Iterator[Batch]:
    """Bodies and their ids, cut so that each batch is one the API takes.

    Raises:
        Invalid: one holds what JSON cannot say.
    """
    lines: list[bytes] = []
    ids: list[str | None] = []
    size = 0
    for body, task_id in named:
        line = encoded(body)
        if lines and (len(lines) == TASKS_MAX or size + len(line) > BYTES_MAX):
            yield _batch(lines, ids)
            lines, ids, size = [], [], 0
        lines.append(line)
        ids.append(task_id)
        size += len(line) + 1
    if lines:
        yield _batch(lines, ids)


def _batch(lines: Sequence[bytes], ids: Sequence[str | None]) -> Batch:
    return Batch(b"[" + b",".join(lines) + b"]", ids)
