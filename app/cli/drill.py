"""``lifeboat drill``: a game day on private servers."""

import asyncio
import logging
import sys
from typing import Annotated

import orjson
import typer
from rich.console import Console

from app import log
from app.cli.images import images_of
from app.cli.options import Json
from app.drill.game import Plan
from app.drill.run import drill as play
from app.drill.scenarios import NOT_YET, SCENARIOS
from app.drill.show import show
from app.settings import load

Scenario = Annotated[str, typer.Option(help=f"One of {', '.join(SCENARIOS)}.")]
Tasks = Annotated[int, typer.Option(min=1, max=1_000_000, help="Webhook deliveries to submit.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same tasks.")]
Durability = Annotated[str, typer.Option(help="fast, fsync or mirrored.")]


def drill(
    scenario: Scenario,
    tasks: Tasks = 2_000,
    seed: Seed = 1,
    durability: Durability = "mirrored",
    json: Json = False,
) -> None:
    """Rehearse a disaster on private servers and count what was lost."""
    if scenario in NOT_YET:
        raise typer.BadParameter(
            f"{scenario} is not there yet: it needs {NOT_YET[scenario]}, and the drill's servers"
            f" are single ones. Choose one of {', '.join(SCENARIOS)}.",
            param_hint="--scenario",
        )
    if scenario not in SCENARIOS:
        raise typer.BadParameter(
            f"{scenario}: choose one of {', '.join(SCENARIOS)}.", param_hint="--scenario"
        )
    if durability not in ("fast", "fsync", "mirrored"):
        raise typer.BadParameter("Choose fast, fsync or mirrored.", param_hint="--durability")
    progress = Console(stderr=json, highlight=False)
    log.setup("drill", logging.WARNING)
    plan = Plan(scenario, tasks, seed, durability)
    document = asyncio.run(
        play(plan, images_of(load()), lambda text: progress.print(text, soft_wrap=True))
    )
    if json:
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        show(document, progress)
    if document["verdict"] != "ok":
        raise typer.Exit(1)
