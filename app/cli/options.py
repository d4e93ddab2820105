"""Options that several commands share, and the one way a long-running process is run."""

from collections.abc import Coroutine
from typing import Annotated, Any

import typer
import uvloop

from app import log, settings
from app.name_options import queue_name

Queue = Annotated[
    str | None,
    typer.Option(help="Only this queue; unset: all, new ones included.", callback=queue_name),
]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant's queues.", callback=queue_name)]
Adopt = Annotated[
    bool, typer.Option("--adopt-ledger", help="Accept a ledger Redis and the copies do not know.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Only the document, on stdout.")]


def load_settings(*, adopt_ledger: bool) -> settings.Settings:
    """The environment's settings.

    Raises:
        SettingsError: they are wrong.
    """
    return settings.load(**({"adopt_ledger": True} if adopt_ledger else {}))


def run(process: str, loop: Coroutine[Any, Any, None]) -> None:
    """Run a process until it is told to stop."""
    log.setup(process)
    uvloop.run(loop)
