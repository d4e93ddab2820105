"""The page of the soaks: what an hour of faults of every kind came to, from what it printed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from app.cli.markdown import page, table

RESULTS: Final = Path(__file__).parents[2] / "docs/reference/soaks"
RULE_OF_THREE: Final = 3
"""Nothing seen in n tries: with 95 % confidence less than 3/n of all is."""
HEAD: Final = (
    "`lifeboat drill --scenario random` for an hour, at durability `mirrored`: webhook deliveries,"
    " and all the while faults of every kind, two at once, chosen by a seed. The files under"
    " `docs/reference/soaks` are what it printed and the report it wrote. How to play one is told"
    " in [rehearse a disaster](../how-to/rehearse-a-disaster.md)."
)
FIGURES: Final = (
    ("accepted", "accepted"),
    ("acceptedByRabbitmq", "of these by RabbitMQ, Redis being away"),
    ("restored", "brought back into Redis from RabbitMQ"),
    ("lost", "lost: neither executed nor recorded as finished"),
    ("phantom", "executed, never submitted"),
    ("duplicateResults", "results recorded beside or in place of another"),
    ("zombies", "effects that began after their task was recorded"),
    ("stuck", "executed, not recorded in the end"),
    ("copiesLeft", "copies in RabbitMQ after everything settled"),
    ("duplicateExecutions", "effects beyond the first of a task; at least once allows them"),
)


def soak_page() -> str:
    """Every kept soak."""
    files = sorted(RESULTS.glob("*.json"))
    return written([(each.stem, orjson.loads(each.read_bytes())) for each in files])


def written(soaks: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The page over these, each under its name."""
    source = "`docs/reference/soaks/` and `app/cli/soak_reference.py`"
    return page("Soaks", source, HEAD, *(_soak(name, document) for name, document in soaks))


def _soak(name: str, document: Mapping[str, Any]) -> str:
    faults, accepted = document["faults"], document["accepted"]
    minutes = (document["endedAt"] - document["startedAt"]) / 60_000
    servers = ", ".join(f"{server} {version}" for server, version in document["versions"].items())
    day = datetime.fromtimestamp(document["startedAt"] / 1000, UTC)
    figures = [(text, f"{document[field]:,}") for field, text in FIGURES]
    kinds = Counter(_kind(each["name"]) for each in faults)
    told = (
        f"Lifeboat {document['lifeboat']} on {servers}, {document['cores']} cores: {len(faults):,}"
        f" faults in {minutes:.0f} minutes, start and settling included. Verdict:"
        f" **{document['verdict']}**. [Report with its picture](soaks/{name}.html)."
    )
    blocks = (
        f"## Seed {document['seed']}, {day:%Y-%m-%d}",
        told,
        table(("what", "tasks"), figures),
        *([_bound(accepted)] if not document["lost"] else []),
        table(("fault", "times"), [(kind, f"{count:,}") for kind, count in sorted(kinds.items())]),
    )
    return "\n\n".join(blocks)


def _bound(accepted: int) -> str:
    return (
        f"None of {accepted:,} lost: by the rule of three, with 95 % confidence, under such faults"
        f" fewer than one in {accepted // RULE_OF_THREE:,} are."
    )


def _kind(fault: str) -> str:
    """Without how long it lasted and which variant it was."""
    return fault.rpartition(",")[0].partition(" (")[0]
