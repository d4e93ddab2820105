"""``lifeboat drill``: a game day on private servers."""

import asyncio
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console

from app import log
from app.cli.images import images_of
from app.cli.options import Json
from app.drill.game import Plan
from app.drill.report import report as written
from app.drill.run import Outcome
from app.drill.run import drill as play
from app.drill.scenarios import SCENARIOS
from app.drill.show import show
from app.settings import load

REPORTS: Final = Path(".lifeboat/drills")
Scenario = Annotated[str, typer.Option(help=f"One of {', '.join(SCENARIOS)}.")]
Tasks = Annotated[int, typer.Option(min=1, max=1_000_000, help="Webhook deliveries to submit.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same tasks.")]
Durability = Annotated[str, typer.Option(help="fast, fsync or mirrored.")]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html",
        help="Where the report with its picture goes; unset: a file under .lifeboat/drills.",
    ),
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Leave all running for a look around; says how to end it.")
]


def drill(
    scenario: Scenario,
    tasks: Tasks = 2_000,
    seed: Seed = 1,
    durability: Durability = "mirrored",
    report: Report = None,
    keep: Keep = False,
    json: Json = False,
) -> None:
    """Rehearse a disaster on private servers and count what was lost."""
    _check(scenario, durability)
    progress = Console(stderr=json, highlight=False)
    log.setup("drill", logging.WARNING)
    plan = Plan(scenario, tasks, seed, durability, keep)

    def say(text: str) -> None:
        progress.print(text, soft_wrap=True)

    outcome = asyncio.run(play(plan, images_of(load()), say))
    file = (report or REPORTS / f"{scenario}-{seed}.html").resolve()
    outcome.document["report"] = str(file) if _write_report(plan, outcome, file, say) else None
    if json:
        sys.stdout.write(orjson.dumps(outcome.document).decode() + "\n")
    else:
        show(outcome.document, progress)
    if outcome.document["verdict"] != "ok":
        raise typer.Exit(1)


def _check(scenario: str, durability: str) -> None:
    if scenario not in SCENARIOS:
        raise typer.BadParameter(
            f"{scenario}: choose one of {', '.join(SCENARIOS)}.", param_hint="--scenario"
        )
    if durability not in ("fast", "fsync", "mirrored"):
        raise typer.BadParameter("Choose fast, fsync or mirrored.", param_hint="--durability")


def _write_report(plan: Plan, outcome: Outcome, file: Path, say: Callable[[str], None]) -> bool:
    """Write it and say where; a place that cannot be written spoils no drill: False then."""
    command = [
        *("lifeboat", "drill", "--scenario", plan.scenario, "--tasks", str(plan.tasks)),
        *("--seed", str(plan.seed), "--durability", plan.durability),
    ]
    story = SCENARIOS[plan.scenario].story
    html = written(outcome.document, outcome.timeline, story=story, command=shlex.join(command))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(html)
    except OSError as error:
        say(f"The report cannot be written: {error}. Name another place with --report.")
        return False
    say(f"The report with its picture: {file}")
    return True
