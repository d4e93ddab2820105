"""``lifeboat up`` and ``down``: a whole system on this machine."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from app import log
from app.cli.asking import confirm
from app.cli.images import images_of
from app.cli.options import Json, Yes
from app.settings import load
from app.stack.ownership import NotOursError, parts_of, take
from app.stack.running import Running, end, living, wipe
from app.stack.stack import Stack
from app.stack.system import System
from app.stack.watch import watch

GIVEN = {
    "redis": "LIFEBOAT_REDIS_URL",
    "rabbitmq": "LIFEBOAT_RABBITMQ_URL",
    "mongo": "LIFEBOAT_MONGO_URL",
}
Folder = Annotated[Path, typer.Option("--dir", help="Where its data and logs live.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return when it is ready; it goes on.")]
Sqlite = Annotated[bool, typer.Option("--sqlite", help="An SQLite ledger instead of MongoDB.")]
Wipe = Annotated[bool, typer.Option("--wipe", help="Remove what `up` made in its folder, too.")]


def up(
    folder: Folder = Path(".lifeboat"),
    detach: Detach = False,
    sqlite: Sqlite = False,
    json: Json = False,
) -> None:
    """Start servers, API, worker, mirror and rehydrator; Ctrl-C ends them all."""
    console = Console(stderr=True, highlight=False)
    log.setup("up", logging.WARNING)
    asyncio.run(_up(folder.resolve(), console, detach=detach, sqlite=sqlite, json=json))


def down(
    folder: Folder = Path(".lifeboat"),
    wiping: Wipe = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End what `up --detach` left running."""
    folder = folder.resolve()
    if wiping:
        with _folder_named():
            parts = parts_of(folder)
        if parts:
            names = ", ".join(each.name for each in parts)
            confirm(f"Remove from {folder}: {names}?", yes=yes)
    ended = asyncio.run(end(folder))
    left = wipe(folder) if wiping else []
    if json:
        document = {"ended": ended, "dir": str(folder), "left": left}
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
        return
    console = Console(highlight=False)
    console.print(f"Ended: {', '.join(ended) or 'nothing was running'}.")
    if left:
        console.print(f"Left in {folder}, as no part of the system: {', '.join(left)}.")


async def _up(folder: Path, console: Console, *, detach: bool, sqlite: bool, json: bool) -> None:
    if names := living(folder):
        raise typer.BadParameter(
            f"{folder} already runs {', '.join(names)}: `lifeboat down --dir {folder}` ends it.",
            param_hint="--dir",
        )
    with _folder_named():
        take(folder)
    given = [name for name, variable in GIVEN.items() if os.environ.get(variable)]
    if "LIFEBOAT_SQLITE_PATH" in os.environ:
        given.append("mongo")
    stack = Stack(folder, images=images_of(load()), mongo=not sqlite, given=given, detached=detach)
    system = System(folder / "log", stack.environment(), usual_ports=True, detached=detach)
    try:
        for server in stack.servers:
            console.print(f"Starting {server.source} ...", soft_wrap=True)
        await stack.start()
        console.print("Starting API, worker, mirror, rehydrator ...")
        await system.start()
        running = Running.of(folder, stack, system)
        running.save()
    except BaseException:
        await system.stop()
        await stack.stop()
        raise
    health = {name: each.url for name, each in system.services.items() if name != "api"}
    if json:
        sys.stdout.write(orjson.dumps(running.document()).decode() + "\n")
        sys.stdout.flush()
        console.print(*(f"{name}: {url}" for name, url in health.items()), soft_wrap=True)
    else:
        _show(running, health, Console(highlight=False))
    if detach:
        return
    try:
        console.print("Ctrl-C ends it.")
        await watch(system, console.print)
    finally:
        await system.stop()
        await stack.stop()
        running.forget()


@contextmanager
def _folder_named() -> Iterator[None]:
    """A folder that is not a system's is wrong usage."""
    try:
        yield
    except NotOursError as error:
        raise typer.BadParameter(str(error), param_hint="--dir") from error


def _show(running: Running, health: Mapping[str, str], console: Console) -> None:
    table = Table(show_header=False, box=None)
    document = running.document()
    for name in ("api", "redisUrl", "rabbitmqUrl", "rabbitmqManagementUrl", "mongoUrl", "dir"):
        table.add_row(name, str(document[name] or "-"))
    for name, url in health.items():
        table.add_row(name, f"{url}/metrics")
    console.print(table)
