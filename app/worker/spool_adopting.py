"""Taking over the spool files of dead workers: whose they are, what is sound, what is kept aside.

Everything here blocks; call it in a thread.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.worker.spool_file import SpoolFile
from app.worker.spool_format import Header, SpoolDamaged, SpoolTooNew, Write, write_from

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A file that is ours now, and what it holds."""

    file: SpoolFile
    writes: list[Write]


@dataclass(slots=True)
class Place:
    """Who adopts, where to put what was saved from a damaged file; ``left`` is not ours."""

    header: Header
    new_path: Callable[[], Path]
    adopt_ledger: bool
    left: set[Path] = field(default_factory=set)
    damage: Counter[str] = field(default_factory=Counter)
    """By kind: ``torn`` tails that were cut off, ``damaged`` files that are kept aside."""

    def is_ours(self, header: Header) -> bool:
        """Whether what such a file holds may go to our ledger."""
        return header.env == self.header.env and (
            self.adopt_ledger or header.ledger == self.header.ledger
        )


def take_over(path: Path, place: Place) -> Adopted | None:
    """Adopt one file; None where its owner lives, it is not ours, or nothing can be had of it."""
    try:
        file = SpoolFile.adopt(path)
        return _examine(file, place) if file else None
    except OSError as error:
        place.left.add(path)
        log.warning("The spool file %s cannot be taken over (%s); it stays.", path, error)
        return None


def _examine(file: SpoolFile, place: Place) -> Adopted | None:
    try:
        header, found = file.look()
    except SpoolTooNew as error:
        _leave(file, place, str(error))
        return None
    if header is None:
        _set_aside(file, place, "it has no sound header, so nobody knows whose it is")
        return None
    if not place.is_ours(header):
        _leave(file, place, f"it is of env {header.env!r}, ledger {header.ledger}")
        return None
    writes, sound = _sound(found.bodies[1:])
    if found.damaged or len(sound) < len(found.bodies) - 1:
        file = _save(file, sound, place)
    elif torn := file.cut(found):
        place.damage["torn"] += 1
        log.warning(
            "The spool file %s ended in %d torn bytes, of a record that never counted; cut off.",
            file.path,
            torn,
        )
    file.records = len(writes)
    log.info("Took over %d outcomes of worker %s in %s.", len(writes), header.worker, file.path)
    return Adopted(file, writes)


def _sound(bodies: Sequence[bytes]) -> tuple[list[Write], list[bytes]]:
    writes, sound = [], []
    for body in bodies:
        try:
            writes.append(write_from(body))
        except SpoolDamaged as error:
            log.warning("A spooled record is left out: %s.", error)
        else:
            sound.append(body)
    return writes, sound


def _save(damaged: SpoolFile, sound: Sequence[bytes], place: Place) -> SpoolFile:
    """What is sound goes into a file of its own first, so that a crash here loses nothing."""
    saved = SpoolFile.create(place.new_path(), place.header)
    try:
        if sound:
            saved.append(sound)
    except OSError:
        saved.remove()
        damaged.close()
        raise
    saved.sealed = True
    _set_aside(damaged, place, f"its {len(sound)} sound records were saved")
    return saved


def _set_aside(file: SpoolFile, place: Place, what: str) -> None:
    aside = file.set_aside()
    place.damage["damaged"] += 1
    log.error(
        "The spool file %s is damaged: %s. It is kept as %s; a task whose outcome is lost in it"
        " runs again.",
        file.path,
        what,
        aside,
    )


def _leave(file: SpoolFile, place: Place, why: str) -> None:
    file.close()
    place.left.add(file.path)
    log.warning("The spool file %s is left alone: %s.", file.path, why)
