"""What the commands over HTTP share: one client for one command, and how its errors are told.

With ``--json`` an error is a document, too: ``{"error", "code", "status", "taskId", "errors"}``.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final, NoReturn, TypeVar

import orjson
import typer
from rich.console import Console

from app.client import Client, ClientError, NoAnswer, NotFinished, Unknown
from app.settings import load

T = TypeVar("T")

FAILED, WAITED_IN_VAIN = 1, 3
WITHIN_S: Final = 30.0
REFUSALS: Final = 400
UNREACHED: Final = (
    "Is it running (`lifeboat up`, `lifeboat serve`)? LIFEBOAT_API_URL says where it is."
)
STRANGE: Final = "Is this Lifeboat's API? LIFEBOAT_API_URL says where it is."
ADVICE: Final = {
    "task_not_found": "`lifeboat task ls` shows what there is; --queue says where to look.",
    "queue_not_found": "`lifeboat queue ls` shows what there is.",
    "quarantine_not_found": "`lifeboat quarantine ls` shows what is there.",
    "ambiguous_task": "Name the queue with --queue.",
    "idempotency_conflict": "`lifeboat task get` shows what has this id.",
    "state_conflict": "`lifeboat task get` shows its state.",
    "queue_full": "Try again when workers have caught up; `lifeboat stats` shows how they do.",
    "unavailable": "Try again; `lifeboat stats` shows how the queues do.",
}


def ask(work: Callable[[Client], Awaitable[T]], *, json: bool, unknown: str = "") -> T:
    """Do one thing with a client; its errors end the command (exit 1, a wait in vain 3).

    ``unknown``: what to do about ``{task_id}`` where nobody can say whether it happened.
    """
    settings = load()

    async def asked() -> T:
        # A person repeats for himself, and sooner knows that nobody is there.
        async with Client(
            settings.api_url, timeout=WITHIN_S, repeat=False, tenant=settings.tenant
        ) as client:
            return await work(client)

    try:
        return asyncio.run(asked())
    except ClientError as error:
        _tell(error, unknown, json=json)
        code = WAITED_IN_VAIN if isinstance(error, NotFinished) else FAILED
        raise typer.Exit(code) from error


def show(document: Any, people: Callable[[Console], None], *, json: bool) -> None:
    """The document, or what people get instead."""
    if json:
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        people(Console(highlight=False))


def say(text: str) -> Callable[[Console], None]:
    """A sentence for people."""
    return lambda console: console.print(text, soft_wrap=True, markup=False)


def fail(sentence: str, *, json: bool) -> NoReturn:
    """End the command with a sentence."""
    _tell(ClientError(sentence), "", json=json)
    raise typer.Exit(FAILED)


def sentence_of(error: ClientError, unknown: str = "") -> str:
    """What went wrong, and what to do next."""
    advice = ADVICE.get(error.code or "", "")
    if isinstance(error, NoAnswer):
        advice = UNREACHED
    elif error.code is None and (error.status or 0) >= REFUSALS:
        # Ours names each of its errors.
        advice = STRANGE
    again = unknown.format(task_id=error.task_id) if isinstance(error, Unknown) else ""
    return " ".join(filter(None, (error.detail, advice, again)))


def _tell(error: ClientError, unknown: str, *, json: bool) -> None:
    sentence = sentence_of(error, unknown)
    sys.stderr.write(sentence + "\n")
    if json:
        found: dict[str, Any] = {
            "error": sentence,
            "code": error.code,
            "status": error.status,
            "taskId": error.task_id,
            "errors": [asdict(each) for each in error.errors],
        }
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
