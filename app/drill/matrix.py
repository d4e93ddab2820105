"""``python -m app.drill.matrix``: every scenario on each pair of servers, one game after another.

The pairs are the machine's own servers and those of the root beside them (``app.stack.roots``).
Each game is a ``lifeboat drill`` of its own; what it printed and its report are kept in a folder.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from app.clock import monotonic_ms, now_ms
from app.drill.scenarios import SCENARIOS
from app.stack.roots import NEWER, VARIABLE

MACHINE: Final = "machine"
ROOT: Final = "newer"
PAIRS: Final = (MACHINE, ROOT)
GAME_WITHIN_S: Final = 900
COLUMNS: Final = ("scenario", "pair", "seed", "verdict", "seconds")


@dataclass(frozen=True, slots=True)
class Round:
    """One game to be played; ``pair`` is one of ``PAIRS``."""

    scenario: str
    pair: str
    seed: int
    durability: str = "mirrored"

    @property
    def name(self) -> str:
        """Of its files."""
        usual = self.durability == "mirrored"
        return f"{self.pair}-{self.scenario}-{'' if usual else self.durability + '-'}{self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went; ``verdict`` is the drill's, or ``no verdict`` where it came to none."""

    round: Round
    verdict: str
    seconds: float
    versions: Mapping[str, str]
    words: str
    """The last it said, where it is not ok."""

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        played = self.round
        return played.scenario, played.pair, str(played.seed), self.verdict, f"{self.seconds:.1f}"


def rounds(scenarios: Iterable[str], pairs: Iterable[str], seeds: Sequence[int]) -> list[Round]:
    """``random`` once a seed, every other scenario once, on each pair; the pairs take turns."""
    return [
        Round(scenario, pair, seed)
        for scenario in scenarios
        for seed in (seeds if scenario == "random" else seeds[:1])
        for pair in pairs
    ]


def outcome(played: Round, code: int | None, out: bytes, err: str, seconds: float) -> Outcome:
    """What a drill came to, by its exit code (None: it took too long) and what it printed."""
    try:
        document: dict[str, Any] = orjson.loads(out)
    except orjson.JSONDecodeError:
        document = {}
    verdict = document.get("verdict", "no verdict")
    lines = [line for line in err.splitlines() if line.strip()]
    words = f"It took over {GAME_WITHIN_S} s." if code is None else (lines or [""])[-1]
    if verdict == "ok" and code != 0:
        verdict = "no verdict"
    said = "" if verdict == "ok" else " ".join(document.get("why", ())) or words
    return Outcome(played, verdict, seconds, document.get("versions", {}), said)


def play(played: Round, tasks: int, root: Path, folder: Path) -> Outcome:
    """One drill in a process of its own; its document, report and log go to ``folder``."""
    drill = ["--scenario", played.scenario, "--seed", str(played.seed), "--tasks", str(tasks)]
    drill += ["--durability", played.durability, "--report", str(folder / f"{played.name}.html")]
    log = folder / f"{played.name}.log"
    code: int | None = None
    out = b""
    began = monotonic_ms()
    with log.open("wb") as err:
        try:
            done = subprocess.run(  # noqa: S603 - the drill itself
                [sys.executable, "-m", "app.cli", "drill", "--json", *drill],
                env=_environment(played.pair, root),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                timeout=GAME_WITHIN_S,
                check=False,
            )
            code, out = done.returncode, done.stdout
        except subprocess.TimeoutExpired:
            pass
    if out:
        (folder / f"{played.name}.json").write_bytes(out)
    seconds = (monotonic_ms() - began) / 1000
    return outcome(played, code, out, log.read_text(errors="replace"), seconds)


def _environment(pair: str, root: Path) -> dict[str, str]:
    """Of the drill: this pair, whatever a Docker engine has."""
    images = dict.fromkeys(("LIFEBOAT_REDIS_IMAGE", "LIFEBOAT_RABBITMQ_IMAGE"), "")
    chosen = "" if pair == MACHINE else str(root)
    return {**os.environ, **images, VARIABLE: chosen, "LIFEBOAT_MONGO_IMAGE": ""}


def summary(outcomes: Sequence[Outcome], began_ms: int, seconds: float) -> dict[str, Any]:
    """All of it as JSON; ``verdict`` is ok where every game's is."""
    pairs = {each.round.pair: dict(each.versions) for each in outcomes if each.versions}
    games = [
        {**asdict(each.round), "verdict": each.verdict, "seconds": each.seconds, "why": each.words}
        for each in outcomes
    ]
    good = bool(outcomes) and all(each.verdict == "ok" for each in outcomes)
    return {
        "startedAt": began_ms,
        "seconds": seconds,
        "verdict": "ok" if good else "failed",
        "pairs": pairs,
        "games": games,
    }


def show(outcomes: Sequence[Outcome], document: Mapping[str, Any], console: Console) -> None:
    """The table, what is behind each pair, and what went wrong."""
    table = Table()
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in ("seed", "seconds") else "left")
    for each in outcomes:
        table.add_row(*each.row)
    console.print(table)
    for pair, versions in document["pairs"].items():
        words = ", ".join(f"{name} {version}" for name, version in versions.items())
        console.print(f"{pair}: {words}", soft_wrap=True)
    for each in outcomes:
        if each.words:
            console.print(f"{each.round.name}: {each.words}", soft_wrap=True)
    console.print(
        f"{len(outcomes)} games in {document['seconds'] / 60:.1f} minutes: {document['verdict']}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 1 unless every game's verdict is ok."""
    given = _options(arguments)
    pairs = (given.pair,) if given.pair else PAIRS
    if ROOT in pairs and not given.root.exists():
        print(f"There is no {given.root} yet: make it with `make matrix-setup`.", file=sys.stderr)
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    began_at, began = now_ms(), monotonic_ms()
    outcomes: list[Outcome] = []
    try:
        for each in rounds(given.scenario or SCENARIOS, pairs, given.seeds):
            outcomes.append(play(each, given.tasks, given.root, given.out))
            print(*outcomes[-1].row, file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("Interrupted: what has been played is shown.", file=sys.stderr)
    document = summary(outcomes, began_at, (monotonic_ms() - began) / 1000)
    written = given.out / "matrix.json"
    written.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    show(outcomes, document, Console(highlight=False))
    print(f"Written to {written}")
    return int(document["verdict"] != "ok")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.drill.matrix")
    parser.add_argument("--tasks", type=int, default=500, help="of each game")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, metavar="NAME")
    parser.add_argument("--root", type=Path, default=NEWER, help="where the newer servers are")
    parser.add_argument("--pair", choices=PAIRS, help="one of them alone")
    parser.add_argument("--out", type=Path, default=Path(".lifeboat", "matrix"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
