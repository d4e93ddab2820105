"""What Redis lost, told from how far a queue's history got before and how far it gets now. Pure.

Ids of two histories tell nothing of single tasks (rule 1), but within one stream they only grow,
and so does the number of its entries: going back, or beginning anew, is proof of a loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from app.ledger.records import Marks, StreamMark
from rehydrator.refreshing import order

Kind = Literal["same", "tail_lost", "key_lost", "wiped", "rolled_back"]

TAIL_MS: Final = 3_000
"""What an append-only file fsynced every second may lose, and a little more."""
JOURNAL: Final = "journal"
WATERMARK: Final = "mirror"
GENERATION: Final = "generation"


@dataclass(frozen=True, slots=True)
class Found:
    """How far the history gets now; ``previous``: the token of the generation before, or empty."""

    token: str
    previous: str
    watermark: str | None
    streams: Mapping[str, StreamMark]


@dataclass(frozen=True, slots=True)
class Loss:
    """``lost`` are keys that are gone or began anew; ``behind_ms``: how far others went back."""

    kind: Kind
    lost: tuple[str, ...] = ()
    behind_ms: int = 0


SAME: Final = Loss("same")


def classify(recorded: Marks | None, found: Found) -> Loss:
    """What was lost between the two.

    same         nothing that shows
    tail_lost    the latest seconds of all keys: a server that was killed
    key_lost     some keys, while others stay
    wiped        everything
    rolled_back  more than a tail: an older copy of the data, or a replica that was behind
    """
    if recorded is None:
        return SAME
    used = {name: mark for name, mark in recorded.streams.items() if mark.added}
    gone = [name for name, mark in used.items() if _began_anew(mark, found.streams.get(name))]
    behind = _behind_ms(recorded, found, gone)
    renewed = found.token != recorded.token
    # Set back, and overtaken by new work before anybody looked: only the token tells.
    is_overtaken = found.previous == recorded.token != found.token and any(
        name in found.streams and found.streams[name].added for name in gone
    )
    if renewed and gone and len(gone) == len(used) and not is_overtaken:
        return Loss("wiped", tuple(gone))
    if recorded.watermark and found.watermark is None:
        gone.append(WATERMARK)
    if behind:
        is_tail = renewed and max(behind) <= TAIL_MS
        return Loss("tail_lost" if is_tail else "rolled_back", tuple(gone), max(behind))
    if is_overtaken:
        return Loss("rolled_back", tuple(gone))
    if renewed and used and not found.previous:
        gone.append(GENERATION)
    return Loss("key_lost", tuple(gone)) if gone else SAME


def _began_anew(before: StreamMark, now: StreamMark | None) -> bool:
    if now is None or now.added == 0:
        return True
    if order(now.last_id) < order(before.last_id):
        return False
    # A stream made anew has later ids, and has not had as many entries yet.
    return now.added < before.added or (now.added == before.added and now.last_id != before.last_id)


def _behind_ms(recorded: Marks, found: Found, gone: list[str]) -> list[int]:
    pairs = [
        (mark.last_id, found.streams[name].last_id)
        for name, mark in recorded.streams.items()
        if name not in gone and name in found.streams
    ]
    # Within a generation two mirrors at once may set it back: no loss.
    if recorded.watermark and found.watermark and recorded.token != found.token:
        pairs.append((recorded.watermark, found.watermark))
    return [
        max(1, order(before)[0] - order(now)[0])
        for before, now in pairs
        if order(now) < order(before)
    ]


def sentence(loss: Loss, queue: str) -> str:
    """What happened, for a person."""
    match loss.kind:
        case "wiped":
            return f"Redis has lost everything of {queue}."
        case "tail_lost":
            return f"Redis has lost the last {loss.behind_ms / 1_000:.1f} s of {queue}."
        case "rolled_back":
            far = f" by {loss.behind_ms / 1_000:.1f} s" if loss.behind_ms else ""
            return (
                f"Redis was set back{far} in {queue}: an older copy of its data, or a replica that"
                " was behind."
            )
        case "key_lost":
            return f"Redis has lost keys of {queue} ({', '.join(loss.lost)}), others are there."
        case _:
            return f"Redis has lost nothing of {queue}."
