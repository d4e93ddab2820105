"""Playing one drill from the empty machine to the verdict."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from app import __version__
from app.clock import now_ms
from app.drill import checker
from app.drill.ends import Witness
from app.drill.game import Game, Plan
from app.drill.given import GivenStack, own_env
from app.drill.load import QUEUE
from app.drill.outside import ON_GIVEN
from app.drill.sampler import sample, watch
from app.drill.scenarios import SCENARIOS, Scenario
from app.drill.timeline import Timeline, timeline
from app.drill.verdict import Evidence, Sample, judge
from app.lifecycle import cancel
from app.settings import Settings
from app.stack.ownership import mark
from app.stack.process import StackError, started_at
from app.stack.running import Program, Running
from app.stack.sources import Images

SETTLE_WITHIN_MS: Final = 90_000
MS_A_TASK: Final = 20
COUNT_AGE_MS, USUAL_COUNT_AGE_MS = 5_000, 12_000
"""How old a broker's count may be: private nodes count every second, others every five."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``document`` is what ``--json`` prints; ``timeline`` is what the report draws."""

    document: dict[str, Any]
    timeline: Timeline


async def drill(plan: Plan, images: Images, say: Callable[[str], None]) -> Outcome:
    """Play ``plan`` on private servers.

    Raises:
        StackError: a server or process cannot be had or did not come.
    """
    scenario = SCENARIOS[plan.scenario]
    folder = _folder()
    game = Game(
        plan,
        images,
        folder,
        say,
        clustered=scenario.clustered,
        replicated=scenario.replicated,
        electing=scenario.electing,
        networked=scenario.networked,
    )
    if scenario.needs_mongo and game.stack.mongo is None:
        shutil.rmtree(folder, ignore_errors=True)
        raise StackError(
            f"{plan.scenario} hits MongoDB, and this machine has none: its ledger is an SQLite"
            " file, which has no server to kill. Choose another scenario or install mongod."
        )
    return await _game_day(game, scenario)


async def drill_on_given(plan: Plan, settings: Settings, say: Callable[[str], None]) -> Outcome:
    """Play ``plan``, one of ``ON_GIVEN``, on the servers that ``settings`` name.

    Raises:
        StackError: they cannot be used, or a process did not come.
    """
    folder = _folder()
    stack = GivenStack(folder / "servers", settings, own_env(plan.seed))
    say(f"The drill's own env, vhost and database there: {stack.env}.")
    try:
        return await _game_day(
            Game(plan, Images(), folder, say, given=stack), ON_GIVEN[plan.scenario]
        )
    finally:
        for sentence in await stack.remove():
            say(sentence)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="lifeboat-drill-"))


async def _game_day(game: Game, scenario: Scenario) -> Outcome:
    disposable = kept = False
    try:
        await game.start()
        try:
            outcome = await _play(game, scenario)
        except TimeoutError as error:
            raise StackError(f"The drill cannot go on. {error}") from error
        kept = game.plan.keep
        if kept:
            outcome.document["kept"] = _keep(game)
        accepted_all = outcome.document["accepted"] == game.plan.tasks
        disposable = outcome.document["verdict"] == "ok" and accepted_all and not kept
        return outcome
    finally:
        if not kept:
            await game.stop()
        if disposable:
            shutil.rmtree(game.folder, ignore_errors=True)
        elif not kept:
            game.say(f"Logs and the producers' and the receiver's files are kept in {game.folder}.")


async def _play(game: Game, scenario: Scenario) -> Outcome:
    plan = game.plan
    found, samples, began_ms = await checker.versions(game.stack), list[Sample](), now_ms()
    witness = Witness()
    game.say(f"Submitting {plan.tasks:,} webhook deliveries at durability {plan.durability} ...")
    looking = asyncio.create_task(
        sample(game.stack, game.keys_prefix, QUEUE, samples), name="sampler"
    )
    watching = asyncio.create_task(
        watch(game.stack, game.sqlite_path, QUEUE, witness), name="watch over the ledger"
    )
    producing = asyncio.create_task(game.producers.run(), name="producers")
    playing = asyncio.create_task(_faults_and_settling(game, scenario), name="scenario")
    running = (playing, producing, looking, watching)
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        # The others never end by themselves: what ended one is the drill's error.
        next(each for each in reversed(running) if each.done()).result()
    finally:
        for each in running:
            await cancel(each)
    evidence = await _evidence(game, samples, witness, scenario)
    document = judge(
        evidence,
        scenario=plan.scenario,
        seed=plan.seed,
        durability=plan.durability,
        versions=found,
    )
    document |= {
        "tasks": plan.tasks,
        "lifeboat": __version__,
        "cores": os.cpu_count(),
        "startedAt": began_ms,
        "endedAt": now_ms(),
    }
    effects = [each.at_ms for each in evidence.arrivals if each.is_effect]
    accepted = evidence.book.accepted.values()
    return Outcome(document, timeline(samples, accepted, effects, document["faults"]))


async def _evidence(
    game: Game, samples: list[Sample], witness: Witness, scenario: Scenario
) -> Evidence:
    image = game.stack.rabbitmq.source.image
    return Evidence(
        book=game.producers.book,
        arrivals=checker.read_arrivals(game.arrivals_file),
        recorded=await checker.read_records(game.stack, game.sqlite_path, QUEUE),
        copies_left=_or_unknown(await checker.copies_left(game.stack, QUEUE)),
        open_left=_or_unknown(await checker.open_left(game.stack, game.keys_prefix)),
        seen=witness.seen,
        restored=await _restored(game),
        rpo_tasks=game.rpo[0],
        rpo_seconds=game.rpo[1],
        planned_faults=_planned(game, scenario),
        faults=game.faults,
        samples=samples,
        copies_taken=scenario.takes_copies,
        workers_pause=scenario.networked,
        count_age_ms=COUNT_AGE_MS if game.stack.servers and not image else USUAL_COUNT_AGE_MS,
    )


async def _faults_and_settling(game: Game, scenario: Scenario) -> None:
    await scenario.play(game)
    game.submit_rest()
    await game.settle(SETTLE_WITHIN_MS + MS_A_TASK * game.plan.tasks)


def _or_unknown(left: int | None) -> int:
    # -1: the store could not say, which is no proof of none.
    return -1 if left is None else left


async def _restored(game: Game) -> int:
    """By the command and, for it may have been first, by the service, also one that was killed."""
    by_service = await checker.restored_by_service(game.system.services["rehydrator"].url)
    by_command = sum(int(report["restored"]) for report in game.reports)
    return by_command + by_service + game.restored_by_dead


def _planned(game: Game, scenario: Scenario) -> int:
    """How many faults were to come; none where the game never came to plan them."""
    return scenario.planned_faults or game.planned_faults or 0


def _keep(game: Game) -> dict[str, Any]:
    """Write down what goes on running, so that ``lifeboat down`` ends it; what it is."""
    running = Running.of(game.folder, game.stack, game.system)
    pid = game.receiver.pid
    helpers = [Program("receiver", pid, started_at(pid) or "")]
    if game.network and game.network.process:
        pid = game.network.process.pid
        helpers.append(Program("network", pid, started_at(pid) or ""))
    replace(running, helpers=[*running.helpers, *helpers]).save()
    # The folder is the drill's own, with all that is in it.
    mark(game.folder, sorted(each.name for each in game.folder.iterdir()))
    kept = running.document()
    for name, value in kept.items():
        if isinstance(value, str):
            game.say(f"{name}: {value}")
    game.say(
        "All of it goes on running, and the books of the producers and the receiver are in that"
        f" folder. This ends it: lifeboat down --dir {game.folder} --wipe"
    )
    return kept
