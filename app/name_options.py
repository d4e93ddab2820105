"""Names as people type them: one that breaks a rule is wrong usage, before anything is done.

Each function is the ``callback`` of a Typer option or argument, whose name Typer puts before the
sentence.
"""

from collections.abc import Callable
from typing import Final

import typer

from app import names

QUEUE: Final = f"at most 63 lower-case letters, digits, - and _ ({names.QUEUE_PATTERN})"
TYPE: Final = f"at most 127 letters, digits, ., _ and - ({names.TYPE_PATTERN})"
TASK_ID: Final = f"at most 127 letters, digits, ., _, : and - ({names.TASK_ID_PATTERN})"
KEY: Final = f"1 to 255 visible ASCII characters ({names.IDEMPOTENCY_KEY_PATTERN})"


def queue_name(text: str | None) -> str | None:
    """A queue's name, or a tenant's."""
    return _checked(text, names.is_queue, QUEUE)


def type_name(text: str | None) -> str | None:
    """A task type."""
    return _checked(text, names.is_type, TYPE)


def task_id(text: str | None) -> str | None:
    """A task's id."""
    return _checked(text, names.is_task_id, TASK_ID)


def task_ids(texts: list[str] | None) -> list[str] | None:
    """Several of them."""
    for text in texts or ():
        task_id(text)
    return texts


def idempotency_key(text: str | None) -> str | None:
    """An idempotency key."""
    return _checked(text, names.is_idempotency_key, KEY)


def _checked(text: str | None, is_one: Callable[[str], bool], rule: str) -> str | None:
    if text is not None and not is_one(text):
        raise typer.BadParameter(f"{text!r}: must be {rule}.")
    return text
