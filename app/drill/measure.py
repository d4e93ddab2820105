"""``python -m app.drill.measure``: play what the table of guarantees rests on and keep the results.

Each game is a ``lifeboat drill`` of its own. What is kept of it is what the table needs and what
makes it repeatable; ``make docs`` writes the table from the kept files.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from app.drill.matrix import MACHINE, PAIRS, ROOT, Round, play
from app.drill.scenarios import SCENARIOS
from app.stack.roots import NEWER

FOLDER: Final = Path("docs/reference/drills")
LEVELS: Final = ("mirrored", "fast")
MIRRORED_ALONE: Final = ("rabbitmq-quorum-loss", "rabbitmq-queue-full")
"""They wait for a submit that is refused for want of a copy, which `fast` never is."""
LEFT_OUT: Final = ("lostTasks", "report", "kept")
"""Of a drill's document: what is of its machine alone."""


def rounds(scenarios: Iterable[str], levels: Sequence[str], pair: str, seed: int) -> list[Round]:
    """Each scenario at each level at which it means something."""
    return [
        Round(scenario, pair, seed, durability)
        for scenario in scenarios
        for durability in levels
        if durability == "mirrored" or scenario not in MIRRORED_ALONE
    ]


def kept(document: Mapping[str, Any]) -> bytes:
    """What is kept of a drill's document: a text that changes only where a figure does."""
    found = {name: value for name, value in document.items() if name not in LEFT_OUT}
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 1 unless every verdict is ok; what is not ok is not kept."""
    given = _options(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    played = rounds(given.scenario or SCENARIOS, given.durability, given.pair, given.seed)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="lifeboat-measure-") as folder:
        try:
            for each in played:
                failed += not _keep(each, given, Path(folder))
        except KeyboardInterrupt:
            print("Interrupted: what has been played is kept.", file=sys.stderr)
    print(f"Kept in {given.out}; not ok and not kept: {failed}. `make docs` writes the table.")
    return int(failed > 0)


def _keep(played: Round, given: argparse.Namespace, folder: Path) -> bool:
    """Play one and keep its result if it is ok; whether it is."""
    outcome = play(played, given.tasks, given.root, folder)
    print(*outcome.row, played.durability, outcome.words, file=sys.stderr, flush=True)
    if outcome.verdict != "ok":
        return False
    printed = orjson.loads((folder / f"{played.name}.json").read_bytes())
    (given.out / f"{played.name}.json").write_bytes(kept(printed))
    return True


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.drill.measure")
    parser.add_argument("--tasks", type=int, default=1_000, help="of each game")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, metavar="NAME")
    parser.add_argument("--durability", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--pair", choices=PAIRS, default=MACHINE, help=f"{ROOT}: those of --root")
    parser.add_argument("--root", type=Path, default=NEWER, help="where the newer servers are")
    parser.add_argument("--out", type=Path, default=FOLDER)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
