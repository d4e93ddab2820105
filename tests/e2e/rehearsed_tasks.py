"""Handlers for rehearsals with real workers: each call leaves a line in a file."""

import asyncio
import time
from pathlib import Path

from pydantic import BaseModel

from app.registry import TaskContext, TaskRegistry

registry = TaskRegistry()


class Rehearsal(BaseModel):
    to: str
    """The file that is written to."""
    fails_first: bool = False
    takes_s: float = 0


@registry.task("mail.send", payload=Rehearsal)
async def send(mail: Rehearsal, task: TaskContext) -> int:
    note(mail, task)
    if mail.fails_first and task.attempt == 1:
        raise ConnectionError("not yet")
    if task.attempt == 1:
        await asyncio.sleep(mail.takes_s)
    return task.attempt


@registry.task("mail.thread", payload=Rehearsal)
def send_in_thread(mail: Rehearsal, task: TaskContext) -> int:
    note(mail, task)
    time.sleep(mail.takes_s)
    return task.attempt


def note(mail: Rehearsal, task: TaskContext) -> None:
    with Path(mail.to).open("a") as file:
        file.write(f"{task.key.task_id} {task.run} {task.attempt}\n")
