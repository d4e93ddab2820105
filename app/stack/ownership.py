"""What in a folder is a system's own: a wipe removes that and nothing else."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from app.stack.process import StackError

MARK: Final = "made-by-lifeboat.json"
"""File that names what the system made there."""
NOTE: Final = "system.json"
"""File that says what runs there."""
PARTS: Final = (
    *("redis", "rabbitmq", "mongo", "log", "spool"),
    *("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", NOTE),
)
"""What ``up`` makes in its folder."""


class _Mark(BaseModel, strict=True):
    parts: tuple[str, ...]


class NotOursError(StackError):
    """This folder is no system's, or cannot become one; the sentence says what to do."""


def take(folder: Path) -> None:
    """Make the folder where there is none, and note which of the parts will be the system's.

    What lay there before the first time stays somebody else's.

    Raises:
        NotOursError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARK).exists():
            mark(folder, [name for name in PARTS if not _is_there(folder / name)])
    except OSError as error:
        raise NotOursError(
            f"{folder} cannot be used: {error.strerror}. Name a folder that can be written."
        ) from error


def mark(folder: Path, parts: Collection[str]) -> None:
    """Note that these things in ``folder`` are a system's."""
    (folder / MARK).write_text(_Mark(parts=tuple(parts)).model_dump_json(indent=2))


def parts_of(folder: Path) -> list[Path]:
    """What a wipe of ``folder`` removes; nothing where there is no such folder.

    Raises:
        NotOursError: the folder is there, and no system has taken it.
    """
    if not folder.exists():
        return []
    try:
        names = _Mark.model_validate_json((folder / MARK).read_bytes()).parts
    except (OSError, ValueError) as error:
        raise NotOursError(
            f"`lifeboat up` made nothing in {folder}: nothing is removed. Name the folder of a"
            " system, or remove by hand what is there."
        ) from error
    # Of what lies there: no name leads out of the folder.
    return sorted(each for each in folder.iterdir() if each.name in names)


def remove(folder: Path) -> list[str]:
    """Remove a system's own things, and its folder where nothing else is in it; what stays there.

    Raises:
        NotOursError: see ``parts_of``.
        StackError: something cannot be removed.
    """
    for part in parts_of(folder):
        try:
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink()
        except OSError as error:
            raise StackError(f"{part} cannot be removed: {error.strerror}.") from error
    if not folder.exists():
        return []
    (folder / MARK).unlink(missing_ok=True)
    if left := sorted(each.name for each in folder.iterdir()):
        return left
    folder.rmdir()
    return []


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
