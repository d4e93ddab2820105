"""``lifeboat drill``: a game day on private servers."""

import asyncio
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import orjson
import typer
from rich.console import Console

from app import log
from app.cli.images import images_of
from app.cli.options import Json
from app.drill.game import Plan
from app.drill.given import missing
from app.drill.outside import BROKEN, ON_GIVEN, why_not
from app.drill.report import report as written
from app.drill.run import Outcome, drill_on_given
from app.drill.run import drill as play
from app.drill.scenarios import SCENARIOS
from app.drill.show import show
from app.settings import Settings, load

REPORTS: Final = Path(".lifeboat/drills")
Scenario = Annotated[str, typer.Option(help=f"One of {', '.join(SCENARIOS)}.")]
Tasks = Annotated[int, typer.Option(min=1, max=1_000_000, help="Webhook deliveries to submit.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same tasks.")]
Durability = Annotated[str, typer.Option(help="fast, fsync or mirrored.")]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        max=24 * 60,
        help="How long the faults of random go on, with the tasks spread over that time; unset: 1.",
    ),
]
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
OnGiven = Annotated[
    bool,
    typer.Option(
        "--i-understand-this-breaks-things",
        help="Play it on the servers that LIFEBOAT_REDIS_URL, LIFEBOAT_RABBITMQ_URL and so on name,"
        f" in an env of its own: {', '.join(ON_GIVEN)}. It says first what it breaks.",
    ),
]
FLAG: Final = "--i-understand-this-breaks-things"


def drill(
    scenario: Scenario,
    tasks: Tasks = 2_000,
    seed: Seed = 1,
    durability: Durability = "mirrored",
    minutes: Minutes = None,
    report: Report = None,
    keep: Keep = False,
    on_given: OnGiven = False,
    json: Json = False,
) -> None:
    """Rehearse a disaster on private servers and count what was lost."""
    settings = load()
    _check_durability(durability)
    if on_given:
        _check_given(scenario, settings, keep=keep)
    else:
        _check(scenario, tasks)
    _check_minutes(scenario, minutes)
    progress = Console(stderr=json, highlight=False)
    log.setup("drill", logging.WARNING)
    plan = Plan(scenario, tasks, seed, durability, keep, minutes * 60 if minutes else None)

    def say(text: str) -> None:
        progress.print(text, soft_wrap=True)

    if on_given:
        say(_what_breaks(scenario, settings))
        outcome = asyncio.run(drill_on_given(plan, settings, say))
    else:
        outcome = asyncio.run(play(plan, images_of(settings), say))
    file = (report or REPORTS / f"{scenario}-{seed}.html").resolve()
    done = _write_report(plan, outcome, file, say, on_given=on_given)
    outcome.document["report"] = str(file) if done else None
    if json:
        sys.stdout.write(orjson.dumps(outcome.document).decode() + "\n")
    else:
        show(outcome.document, progress)
    if outcome.document["verdict"] != "ok":
        raise typer.Exit(1)


def _check(scenario: str, tasks: int) -> None:
    if scenario in ON_GIVEN and scenario not in SCENARIOS:
        raise typer.BadParameter(
            f"{scenario} is played on given servers alone, and breaks things for others there: it"
            f" needs {FLAG}.",
            param_hint="--scenario",
        )
    if scenario not in SCENARIOS:
        raise typer.BadParameter(
            f"{scenario}: choose one of {', '.join(SCENARIOS)}.", param_hint="--scenario"
        )
    least = SCENARIOS[scenario].planned_faults or 1
    if tasks < least:
        raise typer.BadParameter(
            f"{scenario} needs at least {least} tasks: each of its faults must find one in flight.",
            param_hint="--tasks",
        )


def _check_minutes(scenario: str, minutes: float | None) -> None:
    if minutes is not None and scenario != "random":
        raise typer.BadParameter(
            f"{scenario} takes the time it takes: only random goes on for so many minutes.",
            param_hint="--minutes",
        )


def _check_durability(durability: str) -> None:
    if durability not in ("fast", "fsync", "mirrored"):
        raise typer.BadParameter("Choose fast, fsync or mirrored.", param_hint="--durability")


def _check_given(scenario: str, settings: Settings, *, keep: bool) -> None:
    if scenario not in ON_GIVEN:
        raise typer.BadParameter(why_not(scenario), param_hint="--scenario")
    if keep:
        raise typer.BadParameter(
            f"What a drill made on given servers does not stay there: leave out --keep or {FLAG}.",
            param_hint="--keep",
        )
    if unnamed := missing(settings):
        raise typer.BadParameter(
            f"Name the servers: {', '.join(unnamed)} {'is' if len(unnamed) == 1 else 'are'} unset."
            f" Without {FLAG} private servers are started.",
            param_hint=FLAG,
        )


def _what_breaks(scenario: str, settings: Settings) -> str:
    named = (settings.redis_url, settings.rabbitmq_url, settings.mongo_url)
    hosts = ", ".join(urlsplit(url).netloc.rpartition("@")[2] for url in named if url)
    return f"On {hosts}: {BROKEN[scenario]}"


def _write_report(
    plan: Plan, outcome: Outcome, file: Path, say: Callable[[str], None], *, on_given: bool
) -> bool:
    """Write it and say where; a place that cannot be written spoils no drill: False then."""
    command = [
        *("lifeboat", "drill", "--scenario", plan.scenario, "--tasks", str(plan.tasks)),
        *("--seed", str(plan.seed), "--durability", plan.durability),
    ]
    if plan.seconds:
        command += ["--minutes", f"{plan.seconds / 60:g}"]
    if on_given:
        command.append(FLAG)
    story = (ON_GIVEN if on_given else SCENARIOS)[plan.scenario].story
    html = written(outcome.document, outcome.timeline, story=story, command=shlex.join(command))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(html)
    except OSError as error:
        say(f"The report cannot be written: {error}. Name another place with --report.")
        return False
    say(f"The report with its picture: {file}")
    return True
