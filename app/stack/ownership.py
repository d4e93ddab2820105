"""Whose a folder is: a system takes a new or empty one, and only what it took may be wiped."""

from pathlib import Path
from typing import Final

from app.stack.process import StackError

MARK: Final = "made-by-lifeboat"
"""File that says so; it stays until the folder goes."""
MARKED: Final = "`lifeboat down --wipe` removes this folder with everything in it.\n"
UNMARKED: Final = frozenset(
    {"drills", "ledger.sqlite", "ledger.sqlite-shm", "ledger.sqlite-wal", "log", "mongo"}
    | {"rabbitmq", "redis", "spool", "system.json", "trixie"}
)
"""What may lie in a folder without the mark: drills and workers write there, too."""


class NotOursError(StackError):
    """This folder is somebody else's; the sentence says what to do."""


def take(folder: Path) -> None:
    """Make the folder, or take one over that holds nothing but what Lifeboat writes; mark it.

    Raises:
        NotOursError: something else lies in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = sorted(each.name for each in folder.iterdir())
        others = [] if MARK in held else [name for name in held if name not in UNMARKED]
        if others:
            raise NotOursError(
                f"{folder} holds {others[0]}, which is no part of a system. Name a new or an empty"
                " folder."
            )
        (folder / MARK).write_text(MARKED)
    except OSError as error:
        raise NotOursError(
            f"{folder} cannot be used: {error.strerror}. Name a folder that can be written."
        ) from error


def check_ours(folder: Path) -> None:
    """Let nothing be removed that no system took.

    Raises:
        NotOursError: the folder is there, and has no mark.
    """
    if folder.exists() and not (folder / MARK).is_file():
        raise NotOursError(
            f"{folder} was not made by `lifeboat up`: nothing is removed. Name the folder of a"
            " system, or leave out --wipe and remove it by hand."
        )
